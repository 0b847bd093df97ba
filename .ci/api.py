"""Lists the library's public API in docs/public-api.txt, or compares it with that file.

    python3 .ci/api.py            compares; prints the differences, and fails if there are some
    python3 .ci/api.py --write    renews the file

Each line is one item, with everything of it that a program can depend on: signatures, fields,
variants, `#[non_exhaustive]`, traits, and which types are not `Send` or not `Sync`. The list is
made for all features, from rustdoc's JSON, so it needs Rust nightly.
"""

import difflib
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILE = ROOT / "docs/public-api.txt"
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "api"
# Derived with PartialEq, or for every type.
UNINTERESTING = {"StructuralPartialEq", "Freeze", "UnwindSafe", "RefUnwindSafe", "UnsafeUnpin", "Unpin"}
KINDS = {"struct": "struct", "enum": "enum", "trait": "trait", "union": "union"}


def rustdoc():
    command = ["cargo", "+nightly", "rustdoc", "-p", "lariat", "--all-features", "--quiet", "--target-dir", str(TARGET)]
    subprocess.run([*command, "--", "-Z", "unstable-options", "--output-format", "json"], cwd=ROOT, check=True)
    return json.loads((TARGET / "doc/lariat.json").read_text())


class Api:
    def __init__(self, doc):
        self.index = doc["index"]
        self.lines = set()
        self.seen = set()
        self.places = {}
        self.module(self.item(doc["root"]), "lariat")
        for id, paths in self.places.items():
            first, *others = sorted(paths, key=lambda path: (path.count("::"), path))
            self.defined(self.item(id), first)
            self.lines.update(f"use {other} = {first}" for other in others)

    def item(self, id):
        return self.index.get(str(id))

    # ---- items ------------------------------------------------------------------------------

    def module(self, module, path):
        if (module["id"], path) in self.seen:
            return
        self.seen.add((module["id"], path))
        for id in module["inner"]["module"]["items"]:
            item = self.item(id)
            if "use" in item["inner"]:
                self.reexport(item["inner"]["use"], path)
            else:
                self.named(item, f"{path}::{item['name']}")

    def reexport(self, use, path):
        target = self.item(use["id"])
        if target is None or use["is_glob"]:
            self.lines.add(f"use {path}::{'*' if use['is_glob'] else use['name']} = {use['source']}")
        else:
            self.named(target, f"{path}::{use['name']}")

    def named(self, item, path):
        kind, inner = next(iter(item["inner"].items()))
        if kind == "module":
            self.lines.add(f"mod {path}")
            self.module(item, path)
        elif kind == "use":
            self.reexport(inner, path.rpartition("::")[0])
        elif kind == "function":
            self.lines.add(f"fn {path}{self.signature(inner)}")
        elif kind == "constant":
            self.lines.add(f"const {path}: {self.type(inner['type'])}")
        elif kind == "type_alias":
            self.lines.add(f"type {path}{self.params(inner['generics'])} = {self.type(inner['type'])}")
        elif kind in KINDS:
            self.places.setdefault(item["id"], set()).add(path)
        else:
            raise KeyError(f"{kind} {path}")

    def defined(self, item, path):
        kind, inner = next(iter(item["inner"].items()))
        open_ended = "#[non_exhaustive] " if "non_exhaustive" in item["attrs"] else ""
        head = f"{path}{self.params(inner['generics'])}"
        self.lines.add(f"{open_ended}{KINDS[kind]} {head}{self.where(inner['generics'])}")
        if kind == "struct":
            self.fields(inner["kind"], path)
        elif kind == "enum":
            for id in inner["variants"]:
                self.variant(self.item(id), path)
        if kind == "trait":
            for id in inner["items"]:
                item = self.item(id)
                given = item["inner"].get("function", {}).get("has_body")
                self.member(item, path, " { .. }" if given else "")
            return
        for id in inner["impls"]:
            self.implementation(self.item(id)["inner"]["impl"], path)

    def fields(self, kind, path):
        if kind == "unit":
            return
        if "tuple" in kind:
            items = [(n, self.item(id)) for n, id in enumerate(kind["tuple"]) if id is not None]
        else:
            items = [(self.item(id)["name"], self.item(id)) for id in kind["plain"]["fields"]]
            if kind["plain"]["has_stripped_fields"]:
                self.lines.add(f"private fields {path}")
        for name, item in items:
            self.lines.add(f"field {path}::{name}: {self.type(item['inner']['struct_field'])}")

    def variant(self, item, path):
        kind = item["inner"]["variant"]["kind"]
        open_ended = "#[non_exhaustive] " if "non_exhaustive" in item["attrs"] else ""
        text = f"{open_ended}variant {path}::{item['name']}"
        if kind != "plain" and "tuple" in kind:
            types = (self.type(self.item(id)["inner"]["struct_field"]) for id in kind["tuple"])
            text += f"({', '.join(types)})"
        elif kind != "plain":
            fields = map(self.item, kind["struct"]["fields"])
            fields = (f"{field['name']}: {self.type(field['inner']['struct_field'])}" for field in fields)
            text += f" {{ {', '.join(fields)} }}"
        self.lines.add(text)

    def implementation(self, impl, path):
        if impl["blanket_impl"]:
            return
        if impl["trait"] is None:
            for id in impl["items"]:
                if (item := self.item(id)) is not None:
                    self.member(item, path, self.where(impl["generics"]))
            return
        name = self.path(impl["trait"])
        if name in UNINTERESTING or impl["is_synthetic"] and not impl["is_negative"]:
            return
        what = f"{'!' if impl['is_negative'] else ''}{name} for {path}: {self.type(impl['for'])}"
        self.lines.add(f"impl{self.params(impl['generics'])} {what}{self.where(impl['generics'])}")

    def member(self, item, path, rest):
        kind, inner = next(iter(item["inner"].items()))
        if kind == "function":
            self.lines.add(f"fn {path}::{item['name']}{self.signature(inner)}{rest}")
        elif kind in ("assoc_const", "assoc_type"):
            type = f": {self.type(inner['type'])}" if inner.get("type") else ""
            bounds = f": {self.bounds(inner['bounds'])}" if inner.get("bounds") else ""
            self.lines.add(f"{kind.removeprefix('assoc_')} {path}::{item['name']}{type}{bounds}{rest}")
        else:
            raise KeyError(f"{kind} {path}")

    # ---- signatures and types -----------------------------------------------------------------

    def signature(self, function):
        header, sig = function["header"], function["sig"]
        inputs = ", ".join(f"{name}: {self.type(type)}" for name, type in sig["inputs"])
        output = f" -> {self.type(sig['output'])}" if sig["output"] else ""
        const = " const" if header["is_const"] else ""
        const += " unsafe" if header["is_unsafe"] else ""
        generics = function["generics"]
        return f"{self.params(generics)}({inputs}){output}{const}{self.where(generics)}"

    def params(self, generics):
        params = [text for param in generics["params"] if (text := self.param(param))]
        return f"<{', '.join(params)}>" if params else ""

    def param(self, param):
        kind, inner = next(iter(param["kind"].items()))
        if kind == "lifetime":
            return param["name"]
        if kind == "const":
            return f"const {param['name']}: {self.type(inner['type'])}"
        if inner["is_synthetic"]:
            return ""
        bounds = f": {self.bounds(inner['bounds'])}" if inner["bounds"] else ""
        default = f" = {self.type(inner['default'])}" if inner["default"] else ""
        return f"{param['name']}{bounds}{default}"

    def where(self, generics):
        predicates = []
        for predicate in generics["where_predicates"]:
            kind, inner = next(iter(predicate.items()))
            if kind == "bound_predicate":
                predicates.append(f"{self.type(inner['type'])}: {self.bounds(inner['bounds'])}")
            elif kind == "lifetime_predicate":
                predicates.append(f"{inner['lifetime']}: {' + '.join(inner['outlives'])}")
            else:
                predicates.append(f"{self.type(inner['lhs'])} == {self.term(inner['rhs'])}")
        return f" where {', '.join(predicates)}" if predicates else ""

    def bounds(self, bounds):
        texts = []
        for bound in bounds:
            kind, inner = next(iter(bound.items()))
            if kind == "trait_bound":
                sign = "?" if inner["modifier"] == "maybe" else ""
                texts.append(f"{sign}{self.higher(inner)}{self.path(inner['trait'])}")
            elif kind == "outlives":
                texts.append(inner)
            else:
                texts.append(f"use<{', '.join(next(iter(arg.values())) for arg in inner)}>")
        return " + ".join(texts)

    def higher(self, bound):
        names = [param["name"] for param in bound["generic_params"]]
        return f"for<{', '.join(names)}> " if names else ""

    def path(self, path):
        return path["path"].rpartition("::")[2] + self.args(path["args"])

    def args(self, args):
        if args is None:
            return ""
        if args == "return_type_notation":
            return "(..)"
        kind, inner = next(iter(args.items()))
        if kind == "parenthesized":
            output = f" -> {self.type(inner['output'])}" if inner["output"] else ""
            return f"({', '.join(map(self.type, inner['inputs']))}){output}"
        texts = [self.arg(arg) for arg in inner["args"]]
        for constraint in inner["constraints"]:
            binding, value = next(iter(constraint["binding"].items()))
            value = f" = {self.term(value)}" if binding == "equality" else f": {self.bounds(value)}"
            texts.append(f"{constraint['name']}{value}")
        return f"<{', '.join(texts)}>" if texts else ""

    def arg(self, arg):
        if arg == "infer":
            return "_"
        kind, inner = next(iter(arg.items()))
        return {"lifetime": lambda: inner, "type": lambda: self.type(inner), "const": lambda: inner["expr"]}[kind]()

    def term(self, term):
        return self.type(term["type"]) if "type" in term else term["constant"]["expr"]

    def type(self, type):
        if type == "infer":
            return "_"
        kind, inner = next(iter(type.items()))
        if kind in ("primitive", "generic"):
            return inner
        if kind == "resolved_path":
            return self.path(inner)
        if kind == "borrowed_ref":
            lifetime = f"{inner['lifetime']} " if inner["lifetime"] else ""
            return f"&{lifetime}{'mut ' if inner['is_mutable'] else ''}{self.type(inner['type'])}"
        if kind == "tuple":
            return f"({', '.join(map(self.type, inner))})"
        if kind == "slice":
            return f"[{self.type(inner)}]"
        if kind == "array":
            return f"[{self.type(inner['type'])}; {inner['len']}]"
        if kind == "impl_trait":
            return f"impl {self.bounds(inner)}"
        if kind == "dyn_trait":
            traits = [self.higher(bound) + self.path(bound["trait"]) for bound in inner["traits"]]
            return "dyn " + " + ".join(traits + ([inner["lifetime"]] if inner["lifetime"] else []))
        if kind == "qualified_path":
            return f"<{self.type(inner['self_type'])}>::{inner['name']}"
        if kind == "function_pointer":
            sig = inner["sig"]
            output = f" -> {self.type(sig['output'])}" if sig["output"] else ""
            return f"fn({', '.join(self.type(type) for _, type in sig['inputs'])}){output}"
        raise KeyError(kind)


def main():
    doc = rustdoc()
    try:
        api = Api(doc)
    except KeyError as error:
        sys.exit(f"rustdoc's JSON, version {doc['format_version']}, has {error}, which .ci/api.py does not know")
    now = "".join(f"{line}\n" for line in sorted(api.lines, key=lambda line: (line.rpartition("lariat::")[2], line)))
    if "--write" in sys.argv[1:]:
        FILE.write_text(now)
        return
    kept = FILE.read_text() if FILE.exists() else ""
    lines = list(difflib.unified_diff(kept.splitlines(), now.splitlines(), "docs/public-api.txt", "now", "", "", 0, ""))
    if lines:
        print("\n".join(lines))
        sys.exit("the public API has changed; if that is meant: python3 .ci/api.py --write")
    print(f"{len(api.lines)} lines, as docs/public-api.txt has them")


main()
