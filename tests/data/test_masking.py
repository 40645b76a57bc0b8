"""No password is printed: not of a URL, not of a query, not of a setting."""

import logging

import pytest

from data.masking import MaskingFilter, masked, without_secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cannot open postgresql+psycopg://ann:s3cr3t@db/x", "cannot open postgresql+psycopg://ann:***@db/x"),
        ("http://:s3cr3t@127.0.0.1:5000/api refused", "http://:***@127.0.0.1:5000/api refused"),
        ("http://ann:a:b@host", "http://ann:***@host"),
        ("postgresql://db/x?user=ann&password=s3cr3t&sslmode=on", "postgresql://db/x?user=ann&password=***&sslmode=on"),
        ("two http://a:one1@h and http://b:two2@h", "two http://a:***@h and http://b:***@h"),
        ("postgresql://me:hun@ter/22@host:1/db gone", "postgresql://me:***@host:1/db gone"),
        ("'host=h password=hunter22 user=me' gone", "'host=h password=*** user=me' gone"),
        ("host=h password = hunter22 user=me", "host=h password = *** user=me"),
        ("host=h password='top hunter22' user=me", "host=h password=*** user=me"),
        (r"host=h password='it\'s hunter22' user=me", "host=h password=*** user=me"),
        (r"host=h password=top\ hunter22 user=me", "host=h password=*** user=me"),
        ("postgresql://db/x?password='top hunter22'&sslmode=on", "postgresql://db/x?password=***&sslmode=on"),
        ('{"a": "http://u:one1@h", "b": "x@y"}', '{"a": "http://u:***@h", "b": "x@y"}'),
        ("a time 12:30 and an address ann@host stay", "a time 12:30 and an address ann@host stay"),
        ("sqlite:////srv/ann/mlflow.db", "sqlite:////srv/ann/mlflow.db"),
    ],
)
def test_passwords_in_addresses_are_hidden_and_the_rest_stays(text, shown):
    assert masked(text, {}) == shown


def test_a_password_that_the_environment_holds_is_hidden_wherever_it_stands():
    environment = {
        "DISCOVER_LEDGER": "postgresql://ann:p%40ssword@db/x",
        "PREFECT_API_AUTH_STRING": "discover:longtoken",
        "MLFLOW_TRACKING_PASSWORD": "another1",
        "OTHER_PASSWORD": "visible1",
    }
    text = "p@ssword p%40ssword longtoken another1 visible1"
    assert masked(text, environment) == "*** *** *** *** visible1"


@pytest.mark.parametrize(
    "ledger",
    [
        "postgresql+psycopg://ann:top s3cr3tword@db:port/x",
        "postgresql+psycopg://ann:top%20s3cr3tword@db:port/x",
        "postgresql+psycopg://ann:to:p@/ s3cr3tword@db:port/x",
        "postgresql+psycopg://db/x?password=top s3cr3tword&sslmode=on",
        "postgresql+psycopg://db/x?password='top s3cr3tword'",
        "host=db password = s3cr3tword",
        "password='top s3cr3tword' host=db",
        "host=db password=top\\ s3cr3tword",
    ],
)
def test_a_password_of_the_ledger_is_hidden_however_its_address_is_written(ledger):
    from urllib.parse import unquote

    for text in (ledger, repr(ledger), unquote(ledger), f"cannot open {ledger!r} (no port 'port')"):
        shown = masked(text, {"DISCOVER_LEDGER": ledger})
        assert "s3cr3tword" not in shown
        assert "***" in shown
        assert "db" in shown


def test_a_child_is_given_none_of_our_passwords_and_all_else():
    environment = {
        "PATH": "/bin",
        "MY_ORACLE_TOKEN": "theirs",
        "DISCOVER_LEDGER": "postgresql://db/x",
        "DISCOVER_HOME": "/w",
        "MLFLOW_TRACKING_URI": "http://ann:s3cr3t@host",
        "PREFECT_API_KEY": "pnu_1",
        "PREFECT_API_URL": "http://127.0.0.1:4200/api",
    }
    expected = {"PATH", "MY_ORACLE_TOKEN", "DISCOVER_HOME", "PREFECT_API_URL"}
    assert set(without_secrets(environment)) == expected


def test_a_log_record_is_masked_with_its_arguments():
    record = logging.LogRecord("x", logging.WARNING, "f", 1, "at %s", ("http://a:s3cr3t@h",), None)
    MaskingFilter().filter(record)
    assert record.getMessage() == "at http://a:***@h"
