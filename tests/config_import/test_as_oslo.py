"""Files of any kind are read as oslo.config itself reads them, which has the options registered."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from oslo_config import cfg

from proxy.config_import.conf import Conf, ConfBroken, parse
from proxy.config_import.options import INTEGER, MANY, Option, Source
from proxy.config_import.outcomes import Failing

TEXT = Option("DEFAULT", "text", default="unsaid")
RENAMED = Option("one", "renamed", older=(("DEFAULT", "former"), ("one", "old-name")))
NUMBER = Option("one", "number", INTEGER, default="7")
MULTI = Option("one", "multi", MANY, older=(("DEFAULT", "multis"),))
OPTIONS = (TEXT, RENAMED, NUMBER, MULTI)
KNOWN = {(section, name): option for option in OPTIONS for section, name in option.names}

NAMES = [name for option in OPTIONS for _, name in option.names]
PLAIN = ["", "a", "5", "'q'", "' 5 '", '"', "a = b", "$$a", r"\$a", "100%", "%(text)s", "$", "# no comment", "a:b", "é"]
VARIABLES = ["$text", "${text}b", "$one.number", "${one.renamed}", "$text$text", "$unknown"]
VALUES = st.one_of(*[st.sampled_from(PLAIN)] * 4, st.sampled_from(VARIABLES))
ASSIGNMENTS = st.builds(
    lambda name, sign, value, more: "\n  ".join([f"{name}{sign}{value}", *more]),
    st.sampled_from(NAMES),
    st.sampled_from(["=", " = ", ": ", ":"]),
    VALUES,
    st.lists(VALUES, max_size=1),
)
BETWEEN = st.sampled_from(["[DEFAULT]", "[one]", "[one]", "[One]", "[default]", "", "# comment", "; comment"])
BROKEN = st.sampled_from(["[one", "[]", "word", "= 5", "  5"])
LINES = st.one_of(*[ASSIGNMENTS] * 6, *[BETWEEN] * 3)
FILES = st.lists(
    st.builds(
        lambda first, lines, last: "\n".join([first, *lines, *last]),
        st.sampled_from(["[DEFAULT]", "[one]"]),
        st.lists(LINES, max_size=6),
        st.one_of(*[st.just([])] * 9, st.lists(BROKEN, max_size=1)),
    ),
    min_size=1,
    max_size=2,
)


class Refused(Exception):
    """A file, or a value, that Glance would not start with."""


def by_oslo(folder: Path, texts: list[str], option: Option) -> Any:
    paths = [folder / f"{number}.conf" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    conf = cfg.ConfigOpts()
    conf.register_opts([cfg.StrOpt("text", default="unsaid")])
    older = [cfg.DeprecatedOpt("former", group="DEFAULT"), cfg.DeprecatedOpt("old-name", group="one")]
    conf.register_opts(
        [
            cfg.StrOpt("renamed", deprecated_opts=older),
            cfg.IntOpt("number", default=7),
            cfg.MultiStrOpt("multi", deprecated_opts=[cfg.DeprecatedOpt("multis", group="DEFAULT")]),
        ],
        group="one",
    )
    try:
        conf([], default_config_files=list(map(str, paths)), default_config_dirs=[])
        return conf[option.name] if option is TEXT else conf.one[option.name]
    except (cfg.Error, ValueError, RecursionError) as error:
        raise Refused from error


def by_glint(texts: list[str], option: Option) -> Any:
    try:
        source = Source(Conf([parse(text, "x") for text in texts]), KNOWN)
    except ConfBroken as error:
        raise Refused from error
    value = source.value(option)
    if any(isinstance(one, Failing) for one in source.found):
        raise Refused
    return value


@settings(deadline=None, max_examples=200)
@given(texts=FILES, option=st.sampled_from(OPTIONS))
def test_values_are_those_that_oslo_config_gives(texts: list[str], option: Option) -> None:
    with TemporaryDirectory() as folder:
        try:
            theirs = by_oslo(Path(folder), texts, option)
        except Refused:
            theirs = Refused
    try:
        ours = by_glint(texts, option)
    except Refused:
        ours = Refused
    assert ours == theirs
