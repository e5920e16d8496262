"""Moves Rust modules: files, `mod` declarations, and every path that names them."""

import os
import re
import subprocess

IDENT = r"[A-Za-z_]\w*"


def git(*arguments):
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def write(path, text):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


class Crate:
    """One crate: where its folder was and is, and how its modules move."""

    def __init__(self, name, root, moves, docs):
        self.name, self.ident = name, "hashvfl_" + name
        self.old_root = self.new_root = root
        self.moves = {tuple(k.split("::")): tuple(v.split("::")) for k, v in moves.items()}
        self.docs = {tuple(k.split("::")): v for k, v in docs.items()}
        self.files = {}
        self.optional = set()

    def scan(self):
        """Old module path -> old file, for every module file of the library."""
        src = self.old_root + "/src/"
        for file in git("ls-files", src).split():
            if not file.endswith(".rs") or "/generated/" in file or "/src/bin/" in file:
                continue
            inner = file[len(src):-3].split("/")
            if inner == ["main"]:
                continue
            if inner[-1].endswith("_tests"):
                continue
            if inner[-1] in ("mod", "lib"):
                inner.pop()
            self.files[tuple(inner)] = file
        for old in list(self.moves):
            if old not in self.files and old in self.optional:
                del self.moves[old]
            elif old not in self.files:
                raise SystemExit(f"{self.name}: no module {'::'.join(old)} to move")
        self.map = {}
        for old in self.files:
            self.map[old] = self.new_path(old)
        if len(set(self.map.values())) != len(self.map):
            seen = {}
            for old, new in self.map.items():
                if new in seen:
                    raise SystemExit(f"{self.name}: {old} and {seen[new]} both become {new}")
                seen[new] = old
        self.unmapped = sorted(old for old in self.files if old and len(old) == 1 and old not in self.moves)
        self.public = set()
        for old, file in self.files.items():
            self.public |= {old + (name,) for name, (_, vis) in declarations(read(file)).items() if vis == "pub "}
        self.new_modules = set(self.map.values())
        for new in list(self.new_modules):
            for length in range(1, len(new)):
                self.new_modules.add(new[:length])
        self.new_modules.add(())

    def new_path(self, old):
        """Where a module goes: the longest prefix that moves decides."""
        for length in range(len(old), 0, -1):
            if old[:length] in self.moves:
                return self.moves[old[:length]] + old[length:]
        return old

    def is_parent(self, new):
        return any(len(other) == len(new) + 1 and other[: len(new)] == new for other in self.new_modules)

    def new_file(self, new):
        src = self.new_root + "/src/"
        if new == ():
            return src + "lib.rs"
        return src + "/".join(new) + ("/mod.rs" if self.is_parent(new) else ".rs")

    def map_path(self, path, public=False):
        """A path below the crate, `crate` left out: its longest module prefix is replaced. Another crate can name `public`
        modules alone; what looks like a private one is an item of the same name."""
        for length in range(len(path), 0, -1):
            if public and any(path[:part] not in self.public for part in range(1, length + 1)):
                continue
            if path[:length] in self.map:
                return self.map[path[:length]] + path[length:]
        return path


def inline_module_spans(text):
    """Spans of `mod x { ... }` at column 0, in rustfmt's layout."""
    spans = []
    for match in re.finditer(r"^(?:pub(?:\([^)]*\))? )?mod \w+ \{\n", text, re.M):
        end = text.find("\n}\n", match.start())
        spans.append((match.start(), len(text) if end < 0 else end + 3))
    return spans


def parse_tree(text):
    """Leaves of a use tree: (segments, alias)."""
    text = text.strip()
    leaves = []

    def walk(prefix, source):
        depth, start, parts = 0, 0, []
        for index, char in enumerate(source):
            if char == "{":
                depth += 1
            elif char == "}":
                depth -= 1
            elif char == "," and depth == 0:
                parts.append(source[start:index])
                start = index + 1
        parts.append(source[start:])
        for part in (part.strip() for part in parts):
            if not part:
                continue
            brace = part.find("{")
            if brace >= 0:
                head = [seg for seg in part[:brace].strip().split("::") if seg]
                walk(prefix + head, part[brace + 1 : part.rfind("}")])
                continue
            alias = None
            if " as " in part:
                part, alias = (side.strip() for side in part.split(" as "))
            leaves.append((tuple(prefix + part.split("::")), alias))

    walk([], text)
    return leaves


class Rewriter:
    """Rewrites paths in one file."""

    def __init__(self, crates, crate, old, new, children):
        self.crates = {c.ident: c for c in crates}
        self.crate, self.old, self.new = crate, old, new
        self.children = children
        self.new_children = set()
        if crate is not None and new is not None:
            self.new_children = {p[-1] for p in crate.new_modules if len(p) == len(new) + 1 and p[: len(new)] == new}
        self.renamed = {}

    def resolve(self, path, inside):
        """(crate, path below it, how it was rooted), or None for a foreign path."""
        head = path[0]
        if head in self.crates:
            return self.crates[head], path[1:], head
        if self.crate is None:
            return None
        if head == "crate":
            return self.crate, path[1:], "crate"
        if head == "super" and self.old is not None:
            ups = 0
            while ups < len(path) and path[ups] == "super":
                ups += 1
            ups_from_file = ups - inside
            if ups_from_file <= 0:
                return None
            if ups_from_file > len(self.old):
                return None
            return self.crate, self.old[: len(self.old) - ups_from_file] + path[ups:], "super"
        if head == "self" and len(path) > 1 and self.old is not None and not inside:
            if path[1] in self.children:
                return self.crate, self.old + path[1:], "child"
            return None
        if self.old is not None and not inside and head in self.children:
            return self.crate, self.old + path, "child"
        return None

    def mapped(self, path, inside):
        """The path as it is to be written, or None where it stays."""
        found = self.resolve(path, inside)
        if found is None:
            return None
        crate, below, root = found
        bare = below[:-1] if below and below[-1] in ("self", "*") else below
        tail = below[len(bare):]
        target = crate.map_path(bare, public=root in self.crates and crate is not self.crate) + tail
        if root in self.crates:
            written = (root,) + target
        elif root == "crate":
            written = ("crate",) + target
        elif root == "super":
            sibling = target[: len(self.new) - 1] == self.new[:-1] and len(target) >= len(self.new)
            if not inside and path.count("super") == 1 and sibling:
                written = ("super",) + target[len(self.new) - 1 :]
            else:
                written = ("crate",) + target
        else:
            if target[: len(self.new)] == self.new and len(target) > len(self.new):
                written = target[len(self.new):]
            else:
                written = ("crate",) + target
        return written if written != path else None

    def use_statement(self, match, inside):
        indent, vis, tree = match.group(1), match.group(2) or "", match.group(3)
        leaves = parse_tree(tree)
        changed = False
        result = []
        for path, alias in leaves:
            written = self.mapped(path, inside)
            if written is not None:
                changed = True
                bare_old = [seg for seg in path if seg != "self"] or list(path)
                bare_new = [seg for seg in written if seg != "self"] or list(written)
                if alias is None and path[-1] != "*" and bare_old[-1] != bare_new[-1]:
                    self.renamed[bare_old[-1]] = bare_new[-1]
                bare = tuple(seg for seg in written if seg != "self")
                own = self.new is not None and not inside and not vis and alias is None
                if own and bare in {("crate",) + self.new + (n,) for n in self.new_children}:
                    # Declared in this very file.
                    continue
                result.append((written, alias))
            else:
                result.append((path, alias))
        if not changed:
            return match.group(0)
        groups = {}
        for path, alias in result:
            if path[-1] == "self":
                path = path[:-1]
                groups.setdefault(path[:-1], []).append((path[-1], alias, True))
            else:
                groups.setdefault(path[:-1], []).append((path[-1], alias, False))
        # A module with items of its own beside it goes with them, as `self`.
        for parent in list(groups):
            for leaf in list(groups[parent]):
                name, alias, _ = leaf
                if parent + (name,) in groups:
                    groups[parent].remove(leaf)
                    groups[parent + (name,)].append(("self", alias, False))
            if not groups[parent]:
                del groups[parent]
        lines = []
        for parent in sorted(groups):
            names = sorted(
                {name + (f" as {alias}" if alias else "") for name, alias, _ in groups[parent]},
                key=lambda name: (name != "self", name),
            )
            head = "::".join(parent)
            sep = "::" if head else ""
            if len(names) == 1 and names[0] != "self":
                lines.append(f"{indent}{vis}use {head}{sep}{names[0]};")
            elif len(names) == 1:
                lines.append(f"{indent}{vis}use {head};")
            else:
                lines.append(f"{indent}{vis}use {head}{sep}{{{', '.join(names)}}};")
        return "\n".join(lines)

    def rewrite(self, text):
        spans = inline_module_spans(text)

        def depth(position):
            return 1 if any(start < position < end for start, end in spans) else 0

        use = re.compile(r"^([ \t]*)(pub(?:\([^)]*\))? )?use ([^;]+);", re.M)
        pieces, last = [], 0
        for match in use.finditer(text):
            pieces.append(("code", text[last : match.start()], last))
            pieces.append(("use", match, match.start()))
            last = match.end()
        pieces.append(("code", text[last:], last))
        out = []
        inline = re.compile(rf"(?<![\w:])((?:crate|super|self|hashvfl_\w+)(?:::{IDENT})+)")
        child = None
        if self.children and self.old is not None:
            names = "|".join(sorted(map(re.escape, self.children), key=len, reverse=True))
            child = re.compile(rf"(?<![\w:.])((?:{names})(?:::{IDENT})+)")
        for kind, piece, position in pieces:
            if kind == "use":
                out.append(self.use_statement(piece, depth(position + 1)))
                continue

            def swap(match):
                path = tuple(match.group(1).split("::"))
                written = self.mapped(path, depth(position + match.start() + 1))
                return match.group(1) if written is None else "::".join(written)

            piece = inline.sub(swap, piece)
            if child is not None:
                piece = child.sub(swap, piece)
                piece = re.sub(
                    r"\[`(\w+)`\](?!\()",
                    lambda m: self.doc_link(m),
                    piece,
                )
            out.append(piece)
        text = "".join(out)
        for old, new in self.renamed.items():
            # Only the module's own name at the head of a path.
            text = re.sub(rf"(?<![\w:.]){old}::(?!<)", f"{new}::", text)
            text = re.sub(rf"\[`{old}`\]", f"[`{new}`]", text)
        return text

    def doc_link(self, match):
        name = match.group(1)
        if name not in self.children:
            return match.group(0)
        written = self.mapped((name,), 0)
        return match.group(0) if written is None else "[`" + "::".join(written) + "`]"


DECL = re.compile(r"((?:^[ \t]*(?:///[^\n]*|#\[[^\n]*\])\n)*)^(pub(?:\([^)]*\))? )?mod (\w+);\n", re.M)


def declarations(text):
    """Declared child modules: name -> (attributes, visibility)."""
    found = {}
    for match in DECL.finditer(text):
        if "#[path" in match.group(1):
            continue
        found[match.group(3)] = (match.group(1), match.group(2) or "")
    return found


def drop_declaration(text, name):
    for match in DECL.finditer(text):
        if match.group(3) == name and "#[path" not in match.group(1):
            return text[: match.start()] + text[match.end():]
    raise SystemExit(f"no declaration of {name}")


def insert_declarations(text, lines):
    """After the inner docs, or among the declarations that are there."""
    existing = [m for m in DECL.finditer(text) if "#[path" not in m.group(1) and "cfg(test)" not in m.group(1)]
    if existing:
        at = existing[0].start()
        return text[:at] + "".join(lines) + text[at:]
    head = re.match(r"(?:(?://!|#!\[)[^\n]*\n)*", text)
    return text[: head.end()] + "\n" + "".join(lines) + ("" if text[head.end():].startswith("\n") else "\n") + text[head.end():]


def move_modules(crates):
    """Files, declarations and paths of all crates; then paths everywhere else."""
    plans = []
    for crate in crates:
        crate.scan()
    for crate in crates:
        texts, decls = {}, {}
        for old, file in crate.files.items():
            texts[old] = read(file)
            decls[old] = {n: d for n, d in declarations(texts[old]).items() if old + (n,) in crate.files}
        # Paths first: they are resolved against the old tree.
        for old in texts:
            writer = Rewriter(crates, crate, old, crate.map[old], set(decls[old]))
            texts[old] = writer.rewrite(texts[old])
        added = {}
        public = set()
        for old in texts:
            for name, (attributes, vis) in decls[old].items():
                target = crate.map[old + (name,)]
                parent = target[:-1]
                if parent == crate.map[old] and target[-1] == name:
                    if vis == "pub ":
                        public.add(target)
                    continue
                texts[old] = drop_declaration(texts[old], name)
                if vis == "" and parent != crate.map[old]:
                    vis = "pub(crate) " if parent else ""
                if vis == "pub ":
                    public.add(target)
                added.setdefault(parent, []).append((target[-1], attributes, vis))
        known = set(crate.map.values())
        for new in sorted(crate.new_modules - known, key=lambda path: (-len(path), path)):
            is_public = any(other[: len(new)] == new for other in public)
            if is_public:
                public.add(new)
            vis = "pub " if is_public else ("pub(crate) " if len(new) > 1 else "")
            added.setdefault(new[:-1], []).append((new[-1], "", vis))
        results = {}
        back = {new: old for old, new in crate.map.items()}
        for new in crate.new_modules:
            text = texts[back[new]] if new in back else None
            if text is None:
                doc = crate.docs.get(new)
                if doc is None:
                    raise SystemExit(f"{crate.name}: no doc line for new module {'::'.join(new)}")
                text = "".join(f"//! {line}\n" for line in doc.split("\n"))
            lines = [f"{a}{v}mod {n};\n" for n, a, v in sorted(added.get(new, []))]
            if lines:
                text = insert_declarations(text, lines)
            if new in back and crate.map[back[new]][:-1] != crate.map.get(back[new][:-1], None) and new:
                text = text.replace("pub(super)", "pub(crate)")
            results[new] = text
        plans.append((crate, results))
    return plans


def carry_out(plans, crates):
    for crate, results in plans:
        back = {new: old for old, new in crate.map.items()}
        inner = {}
        for new, text in results.items():
            target = crate.new_file(new)
            if new in back:
                source = crate.files[back[new]]
                # `x_tests.rs` beside `x.rs` goes where x goes.
                tests = source[:-3] + "_tests.rs"
                if os.path.exists(tests):
                    folder = os.path.dirname(target)
                    leaf = "tests.rs" if target.endswith("/mod.rs") else os.path.basename(target)[:-3] + "_tests.rs"
                    attribute = f'#[path = "{os.path.basename(tests)}"]\n'
                    if attribute not in text:
                        raise SystemExit(f"{source} does not name {tests}")
                    text = text.replace(attribute, "" if leaf == "tests.rs" else f'#[path = "{leaf}"]\n')
                    inner[tests] = (folder + "/" + leaf, back[new], new)
                if source != target:
                    os.makedirs(os.path.dirname(target), exist_ok=True)
                    git("mv", source, target)
            write(target, text)
        for tests, (target, old, new) in inner.items():
            os.makedirs(os.path.dirname(target), exist_ok=True)
            if tests != target:
                git("mv", tests, target)
            # Its own module is one below x: `super` there is x.
            writer = Rewriter(crates, crate, old + ("tests",), new + ("tests",), set())
            write(target, writer.rewrite(read(target)))


def rewrite_elsewhere(crates, files):
    """Paths in files that belong to no library: tests, binaries, benches."""
    for file in files:
        text = read(file)
        changed = Rewriter(crates, None, None, None, set()).rewrite(text)
        if changed != text:
            write(file, changed)
