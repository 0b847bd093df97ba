#!/usr/bin/env python3
"""Prints rooms, files, lines of code and imports of the library: the figures in ARCHITECTURE.md.

    python3 benches/rooms.py [CHECKOUT]

A room is a folder of `server` or `protocol`, or a single file there. Empty lines, comments and
unit tests do not count as lines. A circle is a set of files that import each other, directly or
through others. A name that a `mod.rs` re-exports counts for the file that defines it.
"""

import os
import re
import sys

TOKEN = re.compile(r"::|[A-Za-z_]\w*|\S")
NOISE = re.compile(
    r"//[^\n]*|/\*.*?\*/|r#\"(?:.*?)\"#|\"(?:\\.|[^\"\\])*\"|'(?:\\.[^']*|[^'\\])'", re.DOTALL
)


def production(text):
    return re.split(r"\n#\[cfg\(test\)\]\nmod ", text)[0]


def code_lines(text):
    lines = (line.strip() for line in production(text).splitlines())
    return sum(1 for line in lines if line and not line.startswith("//"))


def read_modules(root):
    """Returns the files by module path, without unit tests in separate files."""
    modules = {}
    for folder, _, names in os.walk(os.path.join(root, "src")):
        for name in names:
            path = os.path.relpath(os.path.join(folder, name), os.path.join(root, "src"))
            if not name.endswith(".rs") or name.endswith("tests.rs") or path.startswith(("cli", "site", "guide")):
                continue
            parts = path.removesuffix(".rs").split(os.sep)
            if parts[-1] in ("mod", "lib", "main"):
                parts.pop()
            with open(os.path.join(root, "src", path)) as file:
                modules[tuple(parts)] = (path, file.read())
    return modules


def leaves(tokens, prefix=()):
    """Returns the paths of a `use` tree with the names that they bring in."""
    path, at = list(prefix), 0
    while at < len(tokens):
        token = tokens[at]
        if token == "{":
            depth, start = 0, at + 1
            for index in range(at, len(tokens)):
                depth += (tokens[index] == "{") - (tokens[index] == "}")
                if tokens[index] == "," and depth == 1 or tokens[index] == "}" and depth == 0:
                    if start < index:
                        yield from leaves(tokens[start:index], path)
                    start = index + 1
            return
        if token == "as":
            yield tuple(path), tokens[at + 1]
            return
        if token != "::" and not (token == "self" and path):
            path.append(token)
        at += 1
    yield tuple(path), path[-1] if path else ""


def absolute(module, path):
    """Returns a path from the crate's root, or `None` for another crate or this file's name."""
    if not path or path[0] not in ("crate", "self", "super"):
        return None
    at = list(module)
    if path[0] == "crate":
        at = []
    for index, part in enumerate(path):
        if part == "super":
            at = at[:-1]
        elif part not in ("crate", "self"):
            return tuple(at) + tuple(path[index:])
    return tuple(at)


class Crate:
    def __init__(self, root):
        self.modules = read_modules(root)
        self.exports, self.named = {}, {}
        for module, (_, text) in self.modules.items():
            self.exports[module], self.named[module] = self.read_paths(module, text)

    def read_paths(self, module, text):
        """Returns what a file re-exports by name, and what it names, with a flag for re-exports."""
        tokens = TOKEN.findall(NOISE.sub(" ", production(text)))
        exports, named, at = {}, set(), 0
        while at < len(tokens):
            if tokens[at] == "use":
                end = tokens.index(";", at)
                is_export = at > 0 and tokens[at - 1] in ("pub", ")")
                for path, name in leaves(tokens[at + 1 : end]):
                    full = absolute(module, path)
                    # `use file::Name` names a child of this module.
                    if full is None and path and module + path[:1] in self.modules:
                        full = module + path
                    if full is not None:
                        named.add((full, is_export))
                        if is_export:
                            exports[name] = full
                at = end
            elif tokens[at] in ("crate", "super") and tokens[at + 1 : at + 2] == ["::"]:
                path = [tokens[at]]
                while tokens[at + 1 : at + 2] == ["::"] and re.match(r"\w", tokens[at + 2]):
                    path.append(tokens[at + 2])
                    at += 2
                full = absolute(module, path)
                if full:
                    named.add((full, False))
            at += 1
        return exports, named

    def file_of(self, path, depth=0):
        """Returns the module that defines the name at the end of `path`."""
        module = ()
        for index, part in enumerate(path):
            if module + (part,) in self.modules:
                module += (part,)
                continue
            export = self.exports.get(module, {}).get(part)
            if export is not None and depth < 8:
                return self.file_of(export + tuple(path[index + 1 :]), depth + 1)
            break
        return module

    def is_map(self, module):
        """Whether a file only declares and re-exports modules."""
        path, text = self.modules[module]
        code = NOISE.sub(" ", production(text))
        return path.endswith(("mod.rs", "lib.rs")) and not re.search(r"\b(fn|impl|struct|enum)\b", code)

    def imports(self):
        """Returns which file imports which. The re-exports of a map do not count."""
        edges = {module: set() for module in self.modules}
        for module, named in self.named.items():
            for path, is_export in named:
                target = self.file_of(path)
                if target and target != module and not (is_export and self.is_map(module)):
                    edges[module].add(target)
        return edges


def circles(edges):
    """Returns the strongly connected components with more than one member, largest first (Tarjan).
    """
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in edges[node]:
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            circle = set()
            while node not in circle:
                circle.add(stack.pop())
            found.append(circle)

    for node in edges:
        if node not in index:
            visit(node)
    return sorted((circle for circle in found if len(circle) > 1), key=len, reverse=True)


def largest(edges):
    return max((len(circle) for circle in circles(edges)), default=0)


def merged(edges, place):
    """Returns the same edges between places. `None` is not a place."""
    between = {}
    for module, targets in edges.items():
        here = place(module)
        if here is not None:
            there = {place(target) for target in targets} - {None, here}
            between.setdefault(here, set()).update(there)
    return between


def main():
    sys.setrecursionlimit(10_000)
    default = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    crate = Crate(sys.argv[1] if len(sys.argv) > 1 else default)
    edges = crate.imports()

    def room(module):
        """The first folder below `protocol` or `server`, or a file beside it."""
        return "/".join(crate.modules[module][0].split(os.sep)[:2])

    def is_counted(module):
        return module and not crate.is_map(module)

    between = merged(edges, lambda module: room(module) if is_counted(module) else None)
    print("| room | files | lines | imports from | files in a circle |\n|---|--:|--:|---|--:|")
    for name in sorted(between):
        members = {module for module in crate.modules if is_counted(module) and room(module) == name}
        lines = sum(code_lines(crate.modules[module][1]) for module in members)
        inner = {module: edges[module] & members for module in members}
        targets = ", ".join(sorted(between[name])) or "-"
        print(f"| {name} | {len(members)} | {lines} | {targets} | {largest(inner) or '-'} |")
    lines = sum(code_lines(text) for _, text in crate.modules.values())
    pairs = sum(len(targets) for targets in between.values())
    print(f"\nall: {len(crate.modules)} files, {lines} lines, {len(between)} rooms, {pairs} pairs of rooms that import")
    print(f"rooms in a circle: {largest(between)}; files in a circle: {largest(edges)}")
    for part in ("protocol", "server"):

        def entry(module):
            return (module[1:2] or ("mod.rs",))[0] if module[:1] == (part,) and is_counted(module) else None

        floor = merged(edges, entry)
        print(f"{part}: {len(floor)} entries on its floor, {largest(floor)} of them in a circle")


if __name__ == "__main__":
    main()
