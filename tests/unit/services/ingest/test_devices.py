"""Device types by user agents that are out there."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.devices import device_type_of

_APPLE = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
_CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0"

# The same as patterns of alternatives: easy to read, and slow on what is made for that.
_UNKNOWN = (
    r"bot\b(?<!cubot)|crawl|spider|slurp|headless|lighthouse|preview|monitor|facebookexternalhit"
    r"|curl/|wget/|python|java/|go-http|axios|node-fetch|okhttp|postman|insomnia|libwww|httpclient"
    r"|smart-?tv|\btv\b|googletv|appletv|hbbtv|netcast|web0s|bravia|\baft[a-z]{1,4}[0-9]?\b|crkey"
    r"|roku|xbox|playstation|nintendo"
)
_TABLET = (
    r"ipad|macintosh.*mobile/|tablet(?! pc)|playbook|kindle|silk/(?!.*mobile)"
    r"|android(?!.*mobile)|\bkf[a-z]{2,6}\b"
)
_MOBILE = (
    r"iphone|ipod|android.*mobile|windows phone|iemobile|blackberry|\bbb10\b|opera mini|opera mobi"
    r"|kaios|mobile;|mobile safari"
)
_DESKTOP = r"windows nt|macintosh|x11|cros|linux x86_64"
_WORDS = [
    *re.split(
        r"[|?]|\.\*|\(.*?\)|\\b|\[.*?\]|\{.*?\}", "|".join((_UNKNOWN, _TABLET, _MOBILE, _DESKTOP))
    ),
    *("mobile", "kfab", "kfabcdefg", "afta1", "aftabcde", "-tv", " pc", "smart", "a", "1"),
]


def _by_patterns(text: str) -> str:
    kinds = (("unknown", _UNKNOWN), ("tablet", _TABLET), ("mobile", _MOBILE), ("desktop", _DESKTOP))
    found = (kind for kind, pattern in kinds if re.search(pattern, text, re.DOTALL))
    return next(found, "unknown")


_mixtures = st.lists(
    st.sampled_from(_WORDS) | st.sampled_from(["", " ", "_", "é", "/", ";"]), max_size=8
)


@pytest.mark.parametrize(
    ("user_agent", "device_type"),
    [
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_CHROME} Safari/537.36", "desktop"),
        ("Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; Tablet PC 2.0; rv:11.0)", "desktop"),
        (f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_APPLE} Safari/605.1.15", "desktop"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "desktop"),
        (f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {_CHROME} Safari/537.36", "desktop"),
        (f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) {_APPLE} Mobile/15E1", "mobile"),
        (f"Mozilla/5.0 (Linux; Android 14; Pixel 8) {_CHROME} Mobile Safari/537.36", "mobile"),
        (f"Mozilla/5.0 (Linux; Android 9; CUBOT_X18) {_CHROME} Mobile Safari/537.36", "mobile"),
        ("Mozilla/5.0 (Android 14; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0", "mobile"),
        ("Mozilla/5.0 (Windows Phone 10.0; Android 6.0.1; Lumia 950) Mobile Edge/15", "mobile"),
        ("Opera/9.80 (J2ME/MIDP; Opera Mini/7.1.32052/29.3709; U; en) Presto/2.8.119", "mobile"),
        (f"Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) {_APPLE} Mobile/15E148", "tablet"),
        (f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_APPLE} Mobile/15E148", "tablet"),
        (f"Mozilla/5.0 (Linux; Android 13; SM-X200) {_CHROME} Safari/537.36", "tablet"),
        ("Mozilla/5.0 (Android 13; Tablet; rv:140.0) Gecko/140.0 Firefox/140.0", "tablet"),
        ("Mozilla/5.0 (Linux; Android 9; KFMAWI) AppleWebKit/537.36 Silk/98.6 Safari", "tablet"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "unknown"),
        (
            f"Mozilla/5.0 (Linux; Android 6.0.1) {_CHROME} Mobile (bingbot/2.0)",
            "unknown",
        ),
        (f"Mozilla/5.0 (X11; Linux x86_64) {_CHROME.replace('Chr', 'HeadlessChr')}", "unknown"),
        ("Mozilla/5.0 (SMART-TV; Linux; Tizen 7.0) AppleWebKit/537.36 Safari", "unknown"),
        (f"Mozilla/5.0 (Linux; Android 9; AFTMM) {_CHROME} Safari/537.36", "unknown"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox One) Edge/44", "unknown"),
        ("python-requests/2.32.3", "unknown"),
        ("curl/8.9.1", "unknown"),
        ("n8n", "unknown"),
        ("", "unknown"),
    ],
)
def test_device_type_is_told_from_the_user_agent(user_agent: str, device_type: str) -> None:
    assert device_type_of(user_agent) == device_type


@given(st.text())
def test_device_type_is_one_of_four_whatever_the_user_agent(user_agent: str) -> None:
    assert device_type_of(user_agent) in {"desktop", "mobile", "tablet", "unknown"}


@given(_mixtures.map("".join))
def test_device_type_is_what_the_patterns_say_whatever_words_are_mixed(user_agent: str) -> None:
    assert device_type_of(user_agent) == _by_patterns(user_agent)
