"""Specs that can't be run, or shouldn't."""

from __future__ import annotations

from pathlib import Path

__all__ = ["SPECS"]


def SPECS(text: str, folder: Path) -> dict[str, bytes]:
    """Contents by name, made of a spec that can be run."""

    def with_line(line: str) -> bytes:
        return f"{text}\n{line}\n".encode()

    def instead(old: str, new: str) -> bytes:
        assert old in text, old
        return text.replace(old, new).encode()

    return {
        "empty": b"",
        "halved": text.encode()[: len(text) // 2],
        "NULs": b"\0" * 1000,
        "no UTF-8": b"\xff\xfe\xfa" * 100,
        "nested lists": b"a: " + b"[" * 200_000,
        "nested maps": b"a: " + b"{a: " * 100_000,
        "nested blocks": b"".join(b" " * i + b"a:\n" for i in range(2_000)),
        "a line of 1 MB": b"name: " + b"x" * (1 << 20),
        "aliases that multiply": b"a: &a [x, x, x, x, x, x, x, x, x]\n"
        + b"".join(
            b"%c: &%c [" % (98 + i, 98 + i) + b", ".join([b"*%c" % (97 + i)] * 9) + b"]\n"
            for i in range(9)
        ),
        "an alias of itself": b"a: &a [*a]",
        "a tag": b"name: !!python/object/apply:os.system [echo]",
        "!!bool 7": with_line("seed: !!bool 7"),
        "!!int x": with_line("seed: !!int x"),
        "!!float of nothing": with_line("seed: !!float"),
        "!!binary": with_line("seed: !!binary '='"),
        "5,000 digits": with_line("seed: " + "9" * 5_000),
        "a number of 400 digits": with_line("seed: " + "9" * 400),
        "a seed of 2^63": with_line(f"seed: {2**63}"),
        "NaN": with_line("seed: .nan"),
        "an infinite share": instead("steps: 15", "steps: .inf"),
        "a negative size": instead("batch_size: 4", "batch_size: -4"),
        "a key twice": with_line("name: other"),
        "an unknown key": with_line("nonsense: 1"),
        "NUL in a path": with_line('extends: "a\\0b"'),
        "extends a device": with_line("extends: /dev/zero"),
        "extends a folder": with_line("extends: ."),
        "extends itself": with_line("extends: hostile.yaml"),
        "extends nobody's home": with_line("extends: ~nouser/spec.yaml"),
        "a name of 300 characters": instead("name: tiny", "name: " + "n" * 300),
        "a name that climbs": instead("name: tiny", "name: ../../escaped"),
        "too many documents": instead("documents: 120", f"documents: {10**12}"),
        "too many new tokens": instead("max_new_tokens: 40", "max_new_tokens: 1000000"),
        "new tokens of 2^63": instead("max_new_tokens: 40", f"max_new_tokens: {2**63}"),
        "too wide": instead("width: 16, layers: 1", "width: 16384, layers: 64"),
        "wider than is allowed": instead("width: 16, layers: 1", "width: 1000000, layers: 1"),
        "rows too long": instead("max_tokens: 64", f"max_tokens: {2**40}"),
        "a batch too large": instead("batch_size: 4", f"batch_size: {10**12}"),
        "a vocabulary too large": instead("vocab_size: 300", "vocab_size: 1000000"),
        "a tokenizer that is a device": instead("{vocab_size: 300}", "{path: /dev/zero}"),
        "a corpus that is a device": instead(
            "{type: worlds, documents: 120, validation_documents: 12, test_documents: 12}",
            "{type: text_files, path: /dev/zero}",
        ),
        "a corpus that is no path": instead(
            "{type: worlds, documents: 120, validation_documents: 12, test_documents: 12}",
            '{type: text_files, path: "a\\0b"}',
        ),
        "a component that is a path": instead("type: flow_matching", "type: ../evil"),
        "a component of another kind": instead("type: flow_matching", "type: text_vae"),
        "escape sequences as keys": with_line('"\\x1b[2J": 1'),
    }
