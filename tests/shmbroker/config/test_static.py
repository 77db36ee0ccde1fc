from pathlib import Path

import pytest

from shmbroker.config.static import StaticConfig, load_static_config
from shmbroker.errors import BrokerError, ErrorCode


def refusal(path: Path | None = None, *settings: str) -> str:
    with pytest.raises(BrokerError) as caught:
        load_static_config(path, settings)
    assert caught.value.code == ErrorCode.INVALID_CONFIG
    return caught.value.message


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "daemon.toml"


def test_what_is_not_set_has_its_default() -> None:
    config = load_static_config(None, [])
    assert config.number("num.partitions") == 1
    assert config.flag("auto.create.topics.enable") is True
    assert "num.partitions" not in config.assigned


def test_tables_and_dotted_names_of_a_file_are_the_same(toml: Path) -> None:
    toml.write_text('"num.partitions" = 3\n[log]\nsegment.bytes = 2000000\nflush.on.ack = false\n')
    config = load_static_config(toml, [])
    assert config.number("num.partitions") == 3
    assert config.number("log.segment.bytes") == 2_000_000
    assert config.flag("log.flush.on.ack") is False


def test_the_command_line_wins_over_the_file_and_a_later_setting_over_an_earlier(toml: Path) -> None:
    toml.write_text("num.partitions = 3\n")
    config = load_static_config(toml, ["num.partitions=4", "num.partitions=5"])
    assert config.number("num.partitions") == 5


def test_an_unknown_key_names_its_origin_and_the_nearest_key(toml: Path) -> None:
    assert "--set: Unknown broker config name: log.segment.byte; did you mean log.segment.bytes?" in refusal(
        None, "log.segment.byte=5"
    )
    toml.write_text("[log]\nsegment.byte = 5\n")
    assert str(toml) in refusal(toml)


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("num.partitions", "expected key=value"),
        ("num.partitions=0", "1 to 4096"),
        ("session.ring.bytes=100000", "power of two"),
        (
            "session.ring.max.bytes=1048576",
            "session.ring.bytes=4194304 is over session.ring.max.bytes=1048576",
        ),
    ],
)
def test_bad_settings_say_what_is_allowed(setting: str, told: str) -> None:
    assert told in refusal(None, setting)


def test_a_file_that_is_missing_or_no_toml_is_named(toml: Path) -> None:
    assert str(toml) in refusal(toml)
    toml.write_text("= 5")
    assert str(toml) in refusal(toml)
    toml.write_bytes(b"\xff\xfe")
    assert str(toml) in refusal(toml)


def test_assigning_checks_like_loading() -> None:
    config = StaticConfig()
    config.assign("message.max.bytes", "2000")
    assert config.number("message.max.bytes") == 2000
    with pytest.raises(BrokerError):
        config.assign("message.max.bytes", "-1")


def test_compaction_lags_at_odds_stop_the_start() -> None:
    names = "log.cleaner.min.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms"
    with pytest.raises(BrokerError) as refused:
        load_static_config(None, [f"{names[0]}=2000", f"{names[1]}=1000"])
    assert refused.value.code == ErrorCode.INVALID_CONFIG
    assert all(word in refused.value.message for word in (*names, "2000", "1000"))


@pytest.mark.parametrize(
    ("setting", "allowed"),
    [
        ("log.retention.bytes=-2", "at least -1 bytes"),
        ("log.cleanup.policy=shred", "delete, compact"),
        ("log.segment.bytes=1000", "1048576 to 2147483647 bytes"),
        ("log.min.free.bytes=-1", "at least 0 bytes"),
        ("log.retention.check.interval.ms=0", "at least 1 ms"),
    ],
)
def test_bad_limits_of_data_life_stop_the_start(setting: str, allowed: str) -> None:
    name, _, value = setting.partition("=")
    with pytest.raises(BrokerError) as refused:
        load_static_config(None, [setting])
    assert refused.value.code == ErrorCode.INVALID_CONFIG
    assert all(word in refused.value.message for word in (name, value, allowed))


@pytest.mark.parametrize(
    ("setting", "fine", "milliseconds"),
    [
        ("log.retention.hours=168", "log.retention.ms", 604_800_000),
        ("log.retention.minutes=5", "log.retention.ms", 300_000),
        ("log.retention.hours=-1", "log.retention.ms", -1),
        ("log.roll.hours=1", "log.roll.ms", 3_600_000),
        ("log.roll.jitter.hours=2", "log.roll.jitter.ms", 7_200_000),
    ],
)
def test_hours_and_minutes_are_those_milliseconds(setting: str, fine: str, milliseconds: int) -> None:
    config = load_static_config(None, [setting])
    assert config.number(fine) == milliseconds
    assert setting.partition("=")[0] not in config.assigned


def test_of_one_place_the_finer_unit_counts_and_the_command_line_wins_over_the_file(toml: Path) -> None:
    toml.write_text("[log.retention]\nminutes = 2\nms = 7\nhours = 3\n[log.roll]\nms = 5\n")
    assert load_static_config(toml, []).number("log.retention.ms") == 7
    minutes_first = ["log.retention.minutes=2", "log.retention.hours=3", "log.roll.hours=4"]
    config = load_static_config(toml, minutes_first)
    assert config.number("log.retention.ms") == 120_000
    assert config.number("log.roll.ms") == 14_400_000


def test_a_bad_or_nearly_right_number_of_hours_is_named(toml: Path) -> None:
    toml.write_text('"log.roll.hours" = 0\n')
    assert "log.roll.hours" in refusal(toml)
    assert str(toml) in refusal(toml)
    assert "log.retention.hours" in refusal(None, "log.retention.hours=many")
    assert refusal(None, "log.retention.hourz=1").endswith("did you mean log.retention.hours?")
