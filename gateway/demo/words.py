"""What the fake outside world says, in Romanian, Russian and English: data for `demo.mails`.

Servers speak English, people the language of the mail they got. `{until}` and `{date}` are days written out, `{when}`
and `{who}` what Gmail puts above a quoted mail; a name follows the closing words. No behaviour lives here.
"""

from gateway.mail.status import Action

REPORT_SUBJECT = {
    Action.FAILED: "Delivery Status Notification (Failure)",
    Action.DELAYED: "Delivery Status Notification (Delay)",
    Action.DELIVERED: "Delivery Status Notification (Success)",
}
REPORT_TEXT = {
    Action.FAILED: """\
This is the mail system at {host}.

Your message was taken here, but it could not be delivered to

    <{recipient}>

The server that keeps this mailbox answered:

    {words}

This is final; nobody will try again. The header of your message is below.
""",
    Action.DELAYED: """\
This is the mail system at {host}.

THIS IS A WARNING ONLY. You do not need to send your message again.

It could not be delivered yet to

    <{recipient}>

The server that keeps this mailbox answered:

    {words}

Delivery will be tried for some days more.
""",
    Action.DELIVERED: """\
This is the mail system at {host}.

Your message was delivered to

    <{recipient}>
""",
}

AWAY_SUBJECT = {"ro": "Răspuns automat", "ru": "Автоматический ответ", "en": "Automatic reply"}
AWAY = {
    "ro": "Bună ziua,\n\nSunt în concediu până pe {until} și nu am acces la e-mail. "
    "Pentru chestiuni urgente vă rog să sunați la oficiu.\n\nCu respect,",
    "ru": "Здравствуйте!\n\nДо {until} я в отпуске и почту не читаю. "
    "По срочным вопросам звоните, пожалуйста, в офис.\n\nС уважением,",
    "en": "Hello,\n\nI am out of the office until {until} and will not be reading e-mail. "
    "For anything urgent please call our front desk.\n\nKind regards,",
}

REPLIES = {
    "ro": (
        "Bună ziua,\n\nAm primit documentul, mulțumim. Putem achita pe {date}? "
        "Până atunci așteptăm și noi o încasare.\n\nCu respect,",
        "Bună ziua!\n\nSuma nu este cea despre care am vorbit la telefon. "
        "Vă rog să verificați și să ne trimiteți documentul corectat.\n\nMulțumesc,",
        "Bună ziua,\n\nAm transmis documentul la contabilitate, plata va fi făcută până pe {date}. "
        "Ne puteți trimite și contractul semnat?\n\nO zi bună,",
    ),
    "ru": (
        "Здравствуйте!\n\nДокумент получили, спасибо. Можно оплатить {date}? "
        "До этого сами ждём поступления от клиента.\n\nС уважением,",
        "Добрый день!\n\nСумма отличается от той, что мы обсуждали по телефону. "
        "Проверьте, пожалуйста, и пришлите исправленный документ.\n\nСпасибо,",
        "Добрый день!\n\nПередали в бухгалтерию, оплатим до {date}. "
        "Пришлите, пожалуйста, ещё подписанный договор.\n\nХорошего дня,",
    ),
    "en": (
        "Hello,\n\nThank you, we have received the document. Our next payment run is on {date}; "
        "would that be all right?\n\nKind regards,",
        "Hello,\n\nThe amount is not the one we agreed on the phone. "
        "Could you please check it and send us a corrected document?\n\nThank you,",
        "Hi,\n\nI have passed this on to our accounts team, who will pay it by {date}. "
        "Could you also quote our purchase order number next time?\n\nBest regards,",
    ),
}

# What Gmail writes above a quoted mail, and how it writes the time there (patterns of Unicode's CLDR).
ATTRIBUTION = {"ro": "În {when}, {who} a scris:", "ru": "{when}, {who}:", "en": "On {when} {who} wrote:"}
CLOCK = {"ro": "EEE, d MMM y 'la' HH:mm", "ru": "EEE, d MMM y 'г. в' HH:mm", "en": "EEE, MMM d, y 'at' h:mm a"}
