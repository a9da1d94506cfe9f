"""The currencies that there are (ISO 4217, list one of 2026), and how many decimals an amount of each can have.

Used by the checks of documents. Babel's list will not do: it holds every currency since 1800, and its decimals are
those that people write (no paras in RSD), not those that a bank takes. Currencies that were withdrawn since 2014 stay,
since documents are kept, and sent once more, for ten years. Codes for tests, and for no currency, are not in it.
"""

from decimal import Decimal

_CURRENT = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CLF
CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF
IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT
MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD
SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS
VED VES VND VUV WST XAF XAG XAU XBA XBB XBC XBD XCD XCG XDR XOF XPD XPF XPT XSU XUA YER ZAR ZMW ZWG
"""
_WITHDRAWN = "ANG BGN BYR CUC HRK LTL MRO SLL STD VEF ZWL"
_DECIMALS = {
    0: "BIF BYR CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}

CURRENCIES = frozenset(_CURRENT.split()) | frozenset(_WITHDRAWN.split())
# Metals, baskets and units of account have no smallest part in the standard: as many as an amount may have.
_UNITS = frozenset("XAG XAU XBA XBB XBC XBD XDR XPD XPT XSU XUA".split())
_BY_CODE = {code: count for count, codes in _DECIMALS.items() for code in codes.split()} | dict.fromkeys(_UNITS, 6)


def decimals_of(currency: str) -> int:
    """How many decimals an amount can have that is paid in this currency: 2 of MDL, none of JPY, 3 of KWD."""
    return _BY_CODE.get(currency, 2)


def minor_unit(currency: str) -> Decimal:
    """The smallest amount of a currency: 0.01 of EUR, 1 of JPY."""
    return Decimal(1).scaleb(-decimals_of(currency))
