"""What stands behind `vk-provider`: the options of each verb, their help, and a command line read against them.

argparse ends at its first fault, takes the last of two contradicting flags and guesses at abbreviations; here every
fault is found at once, as with the settings, and each names what to write instead. Pure.
"""

from __future__ import annotations

import difflib
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from vk_provider import config, show

VERBS = {"run": "serve a virtual node until told to stop", "show": "what Pods, Jobs, … in files would become and cost"}
_TRUTHS = ("true", "false", "1", "0", "yes", "no", "on", "off")
_INDENT = 34  # of what an option means, beside its name


class Takes(Enum):
    """What follows an option's name."""

    NOTHING = "nothing"
    VALUE = "a value"
    TRUTH = "true or false, and may be left out"
    LIST = "a list, and the option may stand there several times"


@dataclass(frozen=True, slots=True)
class Option:
    """name: under which `Arguments.values` has it. allowed: the words it takes; empty = any."""

    name: str
    flags: Sequence[str]
    about: str
    takes: Takes = Takes.VALUE
    metavar: str = ""
    section: str = ""
    allowed: Sequence[str] = ()
    is_secret: bool = False


@dataclass(slots=True)
class Arguments:
    """A command line as read. values: option → text. words: what is no option. faults: one line each."""

    verb: str = ""
    values: dict[str, str] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def settings(self) -> Mapping[str, str]:
        """Those values that are settings."""
        return {name: text for name, text in self.values.items() if name in config.settings()}


_HELP = Option("help", ("-h", "--help"), "this list", Takes.NOTHING)
_VERSION = Option("version", ("--version",), "print the version", Takes.NOTHING)
_CONFIG = Option("config", ("--config",), "TOML file with settings (VK_CONFIG)", metavar="FILE")
_OWN: Mapping[str, Sequence[Option]] = {
    "": (_HELP, _VERSION),
    "run": (_HELP, Option("help_all", ("--help-all",), "the same with reasons and variables", Takes.NOTHING), _CONFIG),
    "show": (
        _HELP,
        Option("request", ("--request",), "print the request to the cloud as well", Takes.NOTHING),
        Option("output", ("-o", "--output"), "how to print it; default text", metavar="text|json",
               allowed=("text", "json")),
        Option("recursive", ("-R", "--recursive"), "look into the directories of a directory, too", Takes.NOTHING),
        Option("color", ("--color",), "default auto: on a terminal, unless NO_COLOR is set",
               metavar="auto|always|never", allowed=("auto", "always", "never")),
        _CONFIG,
    ),
}  # fmt: skip


def options(verb: str) -> Sequence[Option]:
    """Every option of a verb; of none, those that stand before it."""
    chosen = {"": (), "run": config.settings(), "show": show.SETTINGS}[verb]
    return (*_OWN[verb], *(_of_setting(name) for name in chosen))


def _of_setting(name: str) -> Option:
    about = config.settings()[name]
    takes = Takes.TRUTH if about["is_switch"] else Takes.LIST if about["is_list"] else Takes.VALUE
    return Option(
        name,
        (config.flag_of(name),),
        about["short"],
        takes,
        metavar="" if about["default"] is False else about["metavar"],
        section=about["section"],
        is_secret=about["secret"],
    )


# --- reading ----------------------------------------------------------------------------------------------------------


def read(words: Sequence[str]) -> Arguments:
    """Never raises. What follows a bare `--` is no option."""
    rest = list(words)
    read_by = _Reader("", options(""))
    while rest and rest[0].startswith("-"):
        read_by.option(rest)
    done = read_by.done()
    if not rest:
        return done
    verb = rest.pop(0)
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, n=1)
        done.faults.append(f"{verb}: no such verb; {f'did you mean {near[0]}?' if near else 'use run or show'}")
        return done
    of_verb = _Reader(verb, options(verb))
    while rest:
        if rest[0] == "--":
            of_verb.words += rest[1:]
            break
        if rest[0].startswith("-") and rest[0] != "-":
            of_verb.option(rest)
        else:
            of_verb.words.append(rest.pop(0))
    found = of_verb.done()
    if verb == "run":
        found.faults += [f"{word}: run takes options only" for word in found.words]
    elif not found.words and "help" not in found.values:
        found.faults.append("no manifest is given; name files or directories, or - for standard input")
    return Arguments(verb, {**done.values, **found.values}, found.words, [*done.faults, *found.faults])


class _Reader:
    """One verb's part of the command line being read."""

    def __init__(self, verb: str, known: Sequence[Option]) -> None:
        self.words: list[str] = []
        self._verb = verb
        self._by_flag = {flag: option for option in known for flag in option.flags}
        self._given: dict[str, tuple[Option, list[str]]] = {}
        self._faults: list[str] = []

    def option(self, rest: list[str]) -> None:
        """Take one option with its value off the front."""
        flag, equals, text = rest.pop(0).partition("=")
        option = self._by_flag.get(flag)
        if option is None and not flag.startswith("--") and (option := self._by_flag.get(flag[:2])) is not None:
            flag, equals, text = flag[:2], "=" if len(flag) > 2 else "", flag[2:] + equals + text  # -ojson
        if option is None:
            self._faults.append(f"{flag}: no such option; {self._advice(flag)}")
            if not equals and rest and not rest[0].startswith("-") and self._verb != "show":
                rest.pop(0)  # what looks like its value
            return
        value = self._value(option, flag, text if equals else None, rest)
        if value is None:
            return
        if option.allowed and value not in option.allowed:
            self._faults.append(f"{flag} = {value!r}: expected one of {', '.join(option.allowed)}")
        self._given.setdefault(option.name, (option, []))[1].append(value)

    def done(self) -> Arguments:
        found = Arguments(self._verb, words=self.words, faults=self._faults)
        for name, (option, values) in self._given.items():
            if len(set(values)) > 1 and option.takes is not Takes.LIST:
                told = "" if option.is_secret else f" ({', '.join(values)})"
                found.faults.append(f"{option.flags[-1]}: given {len(values)} times{told}; give it once")
            found.values[name] = ",".join(values) if option.takes is Takes.LIST else values[-1]
        return found

    def _value(self, option: Option, flag: str, attached: str | None, rest: list[str]) -> str | None:
        """None: it is missing or too much, which is now among the faults."""
        if option.takes is Takes.NOTHING:
            if attached is not None:
                self._faults.append(f"{flag}: takes no value")
                return None
            return "true"
        if attached is not None:
            return attached
        if option.takes is Takes.TRUTH:
            return rest.pop(0) if rest and rest[0].lower() in _TRUTHS else "true"
        if not rest or (rest[0].startswith("-") and not re.match(r"-$|-[\d.]", rest[0])):
            self._faults.append(f"{flag}: needs a value, {flag}={option.metavar}")
            return None
        return rest.pop(0)

    def _advice(self, flag: str) -> str:
        if self._verb == "show" and flag in {config.flag_of(name) for name in config.settings()}:
            return "it is one of run, and does not change what show shows; leave it out"
        near = difflib.get_close_matches(flag, self._by_flag, n=1)
        if near:
            return f"did you mean {near[0]}?"
        return f"`{' '.join(filter(None, ('vk-provider', self._verb, '--help')))}` lists them"


# --- help -------------------------------------------------------------------------------------------------------------

_ABOUT = {
    "": "Runs pods of a Kubernetes cluster as Elastic Container Instances of Alibaba Cloud.",
    "run": "Serves a virtual node until told to stop; pods bound to it run as Elastic Container Instances.",
    "show": (
        "Tells of every Pod in the files, and of every pod that something in them makes, whether it would run, on "
        "which size and at what price, or which fields are refused and why. Needs neither cloud nor cluster. "
        "Ends with 0 if every pod would run, with 1 if not, and with 2 if the files or the settings are wrong."
    ),
}
_USAGE = {
    "": "vk-provider run|show [OPTIONS]",
    "run": "vk-provider run [OPTIONS]",
    "show": "vk-provider show [OPTIONS] FILE|DIRECTORY|- …",
}
_SETTINGS_RULE = (
    "A setting is an option, a variable and a key of the TOML file: --node-name, VK_NODE_NAME, node_name. An option "
    "goes before a variable, and a variable before the file. Older variables that work as well stand in brackets."
)


def help_text(verb: str, *, width: int, full: bool = False) -> str:
    """full: with the reasons and all variables."""
    wide = max(width, 40)
    lines = [f"usage: {_USAGE[verb]}", "", *textwrap.wrap(_ABOUT[verb], wide), ""]
    if not verb:
        lines += [*(f"  {name:<6}{about}" for name, about in VERBS.items()), ""]
    section = ""
    for option in options(verb):
        if option.section != section:
            if not section:
                lines += ["", *textwrap.wrap(_SETTINGS_RULE, wide)]
            section = option.section
            lines += ["", f"{section}:"]
        lines += _help_of(option, wide, full=full)
    if not verb:
        lines += ["", "`vk-provider run --help` and `vk-provider show --help` list the options of each."]
    return "\n".join(lines) + "\n"


def _help_of(option: Option, width: int, *, full: bool) -> list[str]:
    about = config.settings().get(option.name)
    name = f"  {', '.join(option.flags)} {option.metavar}".rstrip()
    if about is None:
        text = option.about
    else:
        default = about["default"]
        shown = "" if default in ("", (), {}, False) else f"; default {_told(default)}"
        older = about["env"] if full else about["env"][1:]
        text = (about["text"] if full else about["short"]) + shown + (f" [{', '.join(older)}]" if older else "")
    if full and about is not None:
        indent = " " * 6
        return [
            name,
            *textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False),
        ]
    indent = " " * min(_INDENT, width // 2)
    lines = textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
    if len(name) < len(indent):
        return [name.ljust(len(indent)) + lines[0].strip(), *lines[1:]]
    return [name, *lines]


def _told(default: object) -> str:
    return (
        str(default).lower()
        if isinstance(default, bool)
        else f"{default:g}"
        if isinstance(default, float)
        else str(default)
    )
