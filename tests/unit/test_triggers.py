"""Triggers: what an event sends and when, by a clock that the test moves."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.mail.reply import Refused
from gateway.outbound.triggers import HOLD, SETTLED, TRIGGERS, Choice, Facts, choice_of, decide, need_trigger

NOW = datetime(2026, 11, 24, 8, 14, 3, tzinfo=UTC)
ON = Choice(enabled=True, attach_pdf=True, automatic=True)
ZONE = "Europe/Chisinau"


def test_an_issued_invoice_waits_five_minutes_for_corrections() -> None:
    assert decide("invoice.issued", ON, Facts("open"), NOW, ZONE).at == NOW + HOLD


def test_a_receipt_waits_for_nothing() -> None:
    assert decide("payment.received", ON, Facts(), NOW, ZONE).at == NOW


@pytest.mark.parametrize("status", SETTLED)
def test_a_settled_or_draft_document_is_not_sent_by_itself(status: str) -> None:
    decision = decide("invoice.issued", ON, Facts(status), NOW, ZONE)
    assert decision.at is None
    assert status in decision.why


def test_what_was_sent_is_not_sent_again_by_itself() -> None:
    assert decide("invoice.issued", ON, Facts("open", sent=True), NOW, ZONE).at is None


def test_a_switch_or_template_that_is_off_stores_only_and_says_which() -> None:
    off = decide("invoice.issued", Choice(True, True, False), Facts("open"), NOW, ZONE)
    assert off.at is None
    assert off.why == "the trigger invoice.issued is off for this tenant"
    disabled = decide("invoice.paid", Choice(False, True, True), Facts("paid"), NOW, ZONE)
    assert disabled.at is None
    assert "template paid_invoice is off" in disabled.why


def test_a_future_document_goes_on_its_day_in_the_tenants_zone() -> None:
    at = decide("invoice.issued", ON, Facts("open", "2026-12-08"), NOW, ZONE).at
    assert at == datetime(2026, 12, 8, 6, 0, tzinfo=UTC)  # 08:00 in Chișinău, winter time


def test_the_day_is_the_tenants_also_over_a_change_of_clocks() -> None:
    at = decide("invoice.issued", ON, Facts("open", "2027-03-29"), NOW, ZONE).at
    assert at == datetime(2027, 3, 29, 5, 0, tzinfo=UTC)  # 08:00 in Chișinău, summer time since the 28th


def test_late_in_the_evening_utc_it_is_already_the_documents_day_in_chisinau() -> None:
    evening = datetime(2026, 12, 7, 22, 30, tzinfo=UTC)  # 00:30 on the 8th
    assert decide("invoice.issued", ON, Facts("open", "2026-12-08"), evening, ZONE).at == evening + timedelta(minutes=5)


def test_an_event_without_a_mail_is_stored_only() -> None:
    assert decide("invoice.voided", None, Facts("voided"), NOW, ZONE).at is None


def test_an_unknown_event_is_refused_with_the_known_ones() -> None:
    with pytest.raises(Refused) as refused:
        need_trigger("invoice.issuedd")
    assert "invoice.issued" in refused.value.reply.text


def test_receipt_refund_and_failed_payment_are_on_and_everything_else_is_off_by_default() -> None:
    on = {t.template for t in TRIGGERS.values() if t.template and choice_of(t.template, {}).automatic}
    assert on == {"payment_receipt", "refund", "auto_payment_failed"}


def test_a_tenants_change_wins_and_the_rest_follows_the_product() -> None:
    changed = choice_of("new_invoice", {("new_invoice", ""): {"automatic": True}})
    assert changed == Choice(enabled=True, attach_pdf=True, automatic=True)
    assert choice_of("new_invoice", {}) == Choice(enabled=True, attach_pdf=True, automatic=False)
