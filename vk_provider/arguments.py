"""What stands behind `vk-provider`: the options of each verb, their help, and a command line read against them.

argparse ends at its first fault, takes the last of two contradicting flags and guesses at abbreviations; here every
fault is found at once, as with the settings, and each names what to write instead. Pure.
"""

from __future__ import annotations

import difflib
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from vk_provider import config, show
from vk_provider.qos_agent import options as qos_agent

AGENT = "qos-agent"
VERBS = {
    "run": "serve a virtual node until told to stop",
    "show": "what Pods, Jobs, … in files would become and cost",
    "status": "what the provider of each virtual node does now",
    "explain": "why a pod is as it is, and what happens next",
    "doctor": "whether all is well that pods here depend on, and what to do where not",
    "instances": "what runs in the cloud and costs; deletes what has no pod",
    AGENT: "offer what is idle on a worker node, beside its kubelet",
    "completion": "a script that completes these words in a shell",
}
_OF_CLUSTER = ("kubeconfig", "kube_context")  # the settings of verbs that need no cloud
SHELLS = ("bash", "zsh", "fish")
_WORDS = {"show": None, "explain": 1, "completion": 1}  # verb → how many words it takes; None = any number
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
        """Those values that are settings of the verb."""
        known = qos_agent.settings() if self.verb == AGENT else config.settings()
        return {name: text for name, text in self.values.items() if name in known}


_HELP = Option("help", ("-h", "--help"), "this list", Takes.NOTHING)
_VERSION = Option("version", ("--version",), "print the version", Takes.NOTHING)
_CONFIG = Option("config", ("--config",), "TOML file with settings (VK_CONFIG)", metavar="FILE")
_OUTPUT = Option(
    "output", ("-o", "--output"), "how to print it; default text", metavar="text|json", allowed=("text", "json")
)
_COLOR = Option(
    "color",
    ("--color",),
    "default auto: on a terminal, unless NO_COLOR is set",
    metavar="auto|always|never",
    allowed=("auto", "always", "never"),
)
_NODE = Option("node", ("--node",), "of this virtual node only; default all", metavar="NAME")
_CONTEXT = Option("kube_context", ("--context",), "context in the kubeconfig, as kubectl has it", metavar="NAME")
_OWN: Mapping[str, Sequence[Option]] = {
    "": (_HELP, _VERSION),
    "run": (_HELP, Option("help_all", ("--help-all",), "the same with reasons and variables", Takes.NOTHING), _CONFIG),
    "show": (
        _HELP,
        Option("request", ("--request",), "print the request to the cloud as well", Takes.NOTHING),
        _OUTPUT,
        Option("recursive", ("-R", "--recursive"), "look into the directories of a directory, too", Takes.NOTHING),
        _COLOR,
        _CONFIG,
    ),
    "status": (
        _HELP, _OUTPUT,
        Option("watch", ("-w", "--watch"), "again every two seconds, until Ctrl-C", Takes.NOTHING),
        _NODE, _COLOR, _CONFIG, _CONTEXT,
    ),
    "explain": (
        _HELP, _OUTPUT,
        Option("namespace", ("-n", "--namespace"), "of the pod; default that of the kubeconfig's context",
               metavar="NAMESPACE"),
        _COLOR, _CONFIG, _CONTEXT,
    ),
    "doctor": (_HELP, _OUTPUT, _COLOR, _CONFIG, _CONTEXT),
    "instances": (
        _HELP, _OUTPUT,
        Option("delete_orphans", ("--delete-orphans",), "delete those whose pod no longer exists; asks first",
               Takes.NOTHING),
        Option("yes", ("-y", "--yes"), "do not ask first", Takes.NOTHING),
        _NODE, _COLOR, _CONFIG, _CONTEXT,
    ),
    "completion": (_HELP,),
    AGENT: (_HELP, Option("help_all", ("--help-all",), "the same with reasons and variables", Takes.NOTHING)),
}  # fmt: skip


def options(verb: str) -> Sequence[Option]:
    """Every option of a verb; of none, those that stand before it."""
    if verb == AGENT:
        return (*_OWN[verb], *(_of_setting(name, about) for name, about in qos_agent.settings().items()))
    chosen: Mapping[str, Iterable[str]] = {
        "run": config.settings(),
        "show": (*show.SETTINGS, *config.shown()),
        "status": _OF_CLUSTER,
        "explain": _OF_CLUSTER,
        "doctor": config.settings(),
        "instances": config.settings(),
    }
    return (*_OWN[verb], *(_of_setting(name, config.settings()[name]) for name in chosen.get(verb, ())))


def _of_setting(name: str, about: Mapping[str, Any]) -> Option:
    takes = Takes.TRUTH if about["is_switch"] else Takes.LIST if about["is_list"] else Takes.VALUE
    return Option(
        name,
        ("--" + name.replace("_", "-"),),
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
        advice = f"did you mean {near[0]}?" if near else f"use one of {', '.join(VERBS)}"
        done.faults.append(f"{verb}: no such verb; {advice}")
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
    found.faults += _faults_of_words(verb, found)
    return Arguments(verb, {**done.values, **found.values}, found.words, [*done.faults, *found.faults])


def _faults_of_words(verb: str, found: Arguments) -> Iterable[str]:
    most = _WORDS.get(verb, 0)
    if most is not None:
        yield from (f"{word}: {verb} takes {_MISSING_OR_TOO_MUCH[verb][1]}" for word in found.words[most:])
    if verb in _WORDS and not found.words and "help" not in found.values:
        yield _MISSING_OR_TOO_MUCH[verb][0]
    if verb == "explain" and found.words and not re.fullmatch(r"([^/]+/){0,2}[^/]+", found.words[0]):
        yield f"{found.words[0]!r}: is no pod; name one as NAMESPACE/POD"
    if verb == "completion" and found.words and found.words[0] not in SHELLS:
        yield f"{found.words[0]}: no such shell; use one of {', '.join(SHELLS)}"


_ONLY_OPTIONS = ("", "options only")
_MISSING_OR_TOO_MUCH: Mapping[str, tuple[str, str]] = {
    "run": _ONLY_OPTIONS,
    "show": ("no manifest is given; name files or directories, or - for standard input", ""),
    "status": _ONLY_OPTIONS,
    "explain": ("no pod is given; name one as NAMESPACE/POD, or POD with -n NAMESPACE", "one pod"),
    "doctor": _ONLY_OPTIONS,
    "instances": _ONLY_OPTIONS,
    "completion": (f"no shell is given; name one of {', '.join(SHELLS)}", "one shell"),
}


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
                text = "" if option.is_secret else f" ({', '.join(values)})"
                found.faults.append(f"{option.flags[-1]}: given {len(values)} times{text}; give it once")
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
    AGENT: (
        "Runs beside the kubelet of a worker node: publishes what its regular pods leave idle as gocrane.io/cpu and "
        "gocrane.io/memory, and has the pods that request it yield the processor and the memory to all others."
    ),
    "show": (
        "Tells of every Pod in the files, and of every pod that something in them makes, whether it would run, on "
        "which size and at what price, or which fields are refused and why. Needs neither cloud nor cluster. "
        "Ends with 0 if every pod would run, with 1 if not, and with 2 if the files or the settings are wrong."
    ),
    "status": (
        "Tells of each virtual node whether its provider is well, what it does now, which pods do not run and why, "
        "and what runs and costs. Asks the provider through the API server: takes the rights to list nodes and to get "
        "nodes/proxy. Ends with 0 if every provider is ready, with 1 if not."
    ),
    "explain": (
        "Tells why a pod is as it is: the provider's last decision and its reason, the cloud's last answer, events, "
        "and when it is tried again. Takes the rights to get the pod and nodes/proxy."
    ),
    "doctor": (
        "Looks at all that pods on the virtual node depend on (API server, rights, clock, node, kubelet API, logs, "
        "certificate, injection, DNS, cloud) and says of each red line what to do. Changes nothing. Takes the settings "
        "of run, and is best run where the provider runs: kubectl -n vk-provider exec deploy/vk-provider -- "
        "vk-provider doctor. Ends with 0 if nothing failed, with 1 if something did."
    ),
    "instances": (
        "Lists the instances of each virtual node with size, age and price. With --delete-orphans it asks the cloud "
        "and the API server anew, shows which instances have no pod, asks, and deletes them; that takes the settings "
        "of run."
    ),
    "completion": (
        "Prints a script that completes verbs and options: source <(vk-provider completion bash), or put it where your "
        "shell looks for such scripts."
    ),
}
_USAGE = {
    "": f"vk-provider {'|'.join(VERBS)} [OPTIONS]",
    "run": "vk-provider run [OPTIONS]",
    "show": "vk-provider show [OPTIONS] FILE|DIRECTORY|- …",
    "status": "vk-provider status [OPTIONS]",
    "explain": "vk-provider explain [OPTIONS] [NAMESPACE/]POD",
    "doctor": "vk-provider doctor [OPTIONS]",
    "instances": "vk-provider instances [OPTIONS]",
    AGENT: "vk-provider qos-agent --node-name NAME [OPTIONS]",
    "completion": f"vk-provider completion {'|'.join(SHELLS)}",
}
_SETTINGS_RULE = (
    "A setting is an option, a variable and a key of the TOML file: --node-name, VK_NODE_NAME, node_name. An option "
    "goes before a variable, and a variable before the file. Older variables that work as well stand in brackets."
)
_AGENT_RULE = (
    "A setting is an option and a variable: --node-name, VK_AGENT_NODE_NAME. An option goes before a variable. Other "
    "variables that work as well stand in brackets."
)


def help_text(verb: str, *, width: int, full: bool = False) -> str:
    """full: with the reasons and all variables."""
    wide = max(width, 40)
    lines = [*textwrap.wrap(f"usage: {_USAGE[verb]}", wide, subsequent_indent="       ", break_on_hyphens=False), ""]
    lines += [*textwrap.wrap(_ABOUT[verb], wide), ""]
    if not verb:
        lines += [*_verbs(wide), ""]
    section, known = "", qos_agent.settings() if verb == AGENT else config.settings()
    for option in options(verb):
        if option.section != section:
            if not section:
                lines += ["", *textwrap.wrap(_AGENT_RULE if verb == AGENT else _SETTINGS_RULE, wide)]
            section = option.section
            lines += ["", f"{section}:"]
        lines += _help_of(option, wide, known.get(option.name), full=full)
    if not verb:
        lines += ["", "`vk-provider VERB --help` lists the options of each."]
    return "\n".join(lines) + "\n"


def _verbs(width: int) -> Iterable[str]:
    for name, about in VERBS.items():
        yield from textwrap.wrap(about, width, initial_indent=f"  {name:<12}", subsequent_indent=" " * 14)


def _help_of(option: Option, width: int, about: Mapping[str, Any] | None, *, full: bool) -> list[str]:
    name = f"  {', '.join(option.flags)} {option.metavar}".rstrip()
    if about is None:
        text = option.about
    else:
        default = about["default"]
        shown = "" if default in ("", (), {}, False) else f"; default {_default_text(default)}"
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


def _default_text(default: object) -> str:
    return (
        str(default).lower()
        if isinstance(default, bool)
        else f"{default:g}"
        if isinstance(default, float)
        else str(default)
    )
