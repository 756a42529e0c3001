"""Shell completion, made of the same tables as the help: verbs, options, and the words that an option takes. Pure."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from vk_provider.arguments import SHELLS, VERBS, Takes, options

_NO_FILES = 4  # cobra's ShellCompDirectiveNoFileComp, as kubectl reads it after the last line


def candidates(words: Sequence[str]) -> list[str]:
    """What may stand where the last of the words, maybe empty, is being written. words: after the program's name."""
    *before, current = words or [""]
    verb = next((word for word in before if not word.startswith("-")), "")
    if not verb:
        known = [*VERBS, *(flag for option in options("") for flag in option.flags)]
        return [each for each in known if each.startswith(current)]
    if verb not in VERBS:
        return []
    by_flag = {flag: option for option in options(verb) for flag in option.flags}
    if before and (asked := by_flag.get(before[-1])) is not None and asked.takes is Takes.VALUE:
        return [each for each in asked.allowed if each.startswith(current)]
    if verb == "completion":
        return [each for each in SHELLS if each.startswith(current)]
    return [flag for flag in by_flag if flag.startswith("--" if current in ("", "-", "--") else current)]


def script(shell: str) -> str:
    """For `bash`, `zsh` or `fish`. The words are asked of the program, so that a newer one needs no newer script."""
    return _SCRIPTS[shell]


_SCRIPTS = {
    "bash": """\
_vk_provider() {
    local IFS=$'\\n'
    COMPREPLY=($(kubectl_complete-eci "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | grep -v '^:'))
    [ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -F _vk_provider vk-provider kubectl-eci
""",
    "zsh": """\
#compdef vk-provider kubectl-eci
_vk_provider() {
    local -a found
    found=(${(f)"$(kubectl_complete-eci "${words[@]:1:$((CURRENT-1))}" 2>/dev/null | grep -v '^:')"})
    if (( ${#found} )); then compadd -- $found; else _files; fi
}
compdef _vk_provider vk-provider kubectl-eci
""",
    "fish": """\
function __vk_provider
    set -l words (commandline -opc) (commandline -ct)
    kubectl_complete-eci $words[2..-1] 2>/dev/null | string match -v ':*'
end
complete -c vk-provider -a '(__vk_provider)'
complete -c kubectl-eci -a '(__vk_provider)'
""",
}


def main() -> int:
    """`kubectl_complete-eci WORDS…`, as kubectl calls it for `kubectl eci`: a candidate a line, then what to do."""
    sys.stdout.write("".join(f"{each}\n" for each in candidates(sys.argv[1:])) + f":{_NO_FILES}\n")
    return 0
