"""What the templates, their parts and the events that send them are called (the table of the user guide)."""

from gateway.inbox.timeline import msgid

NAMES = {
    "new_invoice": msgid("New invoice"),
    "unpaid_invoice": msgid("Invoice reminder"),
    "late_payment_reminder": msgid("Late payment reminder"),
    "paid_invoice": msgid("Thank you"),
    "payment_plan_onboard": msgid("Payment plan onboarding"),
    "credit_note": msgid("Credit note"),
    "payment_receipt": msgid("Payment receipt"),
    "refund": msgid("Refund"),
    "auto_payment_failed": msgid("Failed automatic payment"),
    "statement": msgid("Account statement"),
    "subscription_confirmation": msgid("Subscription confirmation"),
    "subscription_renews_soon": msgid("Billed soon"),
    "subscription_canceled": msgid("Cancellation"),
    "estimate": msgid("Estimate offer"),
}
WHEN = {
    "new_invoice": msgid("An invoice goes to the customer for the first time."),
    "unpaid_invoice": msgid("An invoice that was sent and is not due yet."),
    "late_payment_reminder": msgid("An invoice that is past due."),
    "paid_invoice": msgid("An invoice was paid in full."),
    "payment_plan_onboard": msgid("A new payment plan waits for the customer's approval."),
    "credit_note": msgid("A credit note was issued."),
    "payment_receipt": msgid("A payment was received."),
    "refund": msgid("A payment is refunded."),
    "auto_payment_failed": msgid("An automatic payment failed."),
    "statement": msgid("An account statement is sent."),
    "subscription_confirmation": msgid("A customer subscribed."),
    "subscription_renews_soon": msgid("A subscription is billed soon."),
    "subscription_canceled": msgid("A subscription was cancelled."),
    "estimate": msgid("An estimate is issued or sent."),
}
PARTS = {
    "subject": msgid("Subject"),
    "preheader": msgid("Beside the subject in the inbox"),
    "title": msgid("Heading"),
    "text": msgid("Text"),
    "button": msgid("On the button"),
}
SENDS = {  # what the switch of a template's event is called
    "new_invoice": msgid("Send automatically when a new invoice is issued"),
    "estimate": msgid("Send automatically when a new estimate is issued"),
    "payment_plan_onboard": msgid("Send automatically when a payment plan is created"),
    "credit_note": msgid("Send automatically when a credit note is issued"),
    "paid_invoice": msgid("Say thank you when an invoice was paid"),
    "payment_receipt": msgid("Send the receipt when a payment was received"),
    "refund": msgid("Send the receipt when a payment is refunded"),
    "auto_payment_failed": msgid("Write to the customer when an automatic payment failed"),
    "statement": msgid("Send the statement when it is ready"),
    "subscription_confirmation": msgid("Write to the customer who subscribed"),
    "subscription_canceled": msgid("Write to the customer whose subscription was cancelled"),
}
ISSUE = ("new_invoice", "estimate", "payment_plan_onboard", "credit_note")  # the four of the guide, held five minutes
REMINDS = {
    "unpaid_invoice": msgid("Before an invoice is due"),
    "late_payment_reminder": msgid("When an invoice is past due"),
    "payment_plan_onboard": msgid("Before a payment plan must be approved"),
    "estimate": msgid("Before an estimate ends"),
    "subscription_renews_soon": msgid("Before a subscription is billed"),
}
