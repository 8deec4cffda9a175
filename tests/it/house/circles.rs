//! Modules of one folder do not import each other in circles: in a room, and in every folder of it.
//!
//! What a module takes from the one that it stands in does not count. A name that this one only lends out counts as taken
//! from where it is made.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::paths::{lent, named};
use super::{Source, rust_files};

/// The modules that some sources are.
struct Modules {
    known: BTreeSet<Vec<String>>,
    lent: BTreeMap<Vec<String>, BTreeMap<String, Vec<String>>>,
}

impl Modules {
    fn of(sources: &[Source]) -> Self {
        Self {
            known: sources.iter().map(Source::module).collect(),
            lent: sources.iter().map(|source| (source.module(), lent(source))).collect(),
        }
    }

    /// The module in which the thing at a path is made.
    fn maker(&self, path: &[String], steps: usize) -> Vec<String> {
        let depth = (0..=path.len()).rev().find(|depth| self.known.contains(&path[..*depth])).unwrap_or(0);
        let module = path[..depth].to_vec();
        let from = path.get(depth).and_then(|name| self.lent.get(&module)?.get(name));
        match from {
            Some(from) if steps > 0 && from != path => {
                self.maker(&[from, &path[depth + 1..]].concat(), steps - 1)
            }
            _ => module,
        }
    }
}

/// What each child of a folder imports of its siblings, with a place where it does.
type Edges = BTreeMap<String, BTreeMap<String, String>>;

fn edges(folder: &[String], sources: &[Source], modules: &Modules) -> Edges {
    let mut found = Edges::new();
    for source in sources {
        let module = source.module();
        let Some(child) = module.strip_prefix(folder).and_then(|below| below.first()) else { continue };
        for name in named(source) {
            let maker = modules.maker(&name.path, 8);
            if let Some(other) = maker.strip_prefix(folder).and_then(|below| below.first())
                && other != child
            {
                let place = format!("src/{}:{}", source.path, name.line);
                found.entry(child.clone()).or_default().entry(other.clone()).or_insert(place);
            }
        }
    }
    found
}

/// The shortest way from a child back to itself, if there is one.
fn circle<'e>(edges: &'e Edges, child: &'e str) -> Option<Vec<&'e str>> {
    let mut ways = VecDeque::from([vec![child]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        for next in edges.get(*way.last()?).into_iter().flat_map(BTreeMap::keys) {
            let longer = [&way[..], &[next.as_str()]].concat();
            if next == child {
                return Some(longer);
            }
            if seen.insert(next) {
                ways.push_back(longer);
            }
        }
    }
    None
}

/// Every circle among the modules of a folder, as a sentence.
fn circles(sources: &[Source]) -> Vec<String> {
    let modules = Modules::of(sources);
    let folders: BTreeSet<Vec<String>> = modules
        .known
        .iter()
        .flat_map(|module| (1..module.len()).map(|depth| module[..depth].to_vec()))
        .collect();
    let mut found = Vec::new();
    for folder in folders {
        let edges = edges(&folder, sources, &modules);
        for child in edges.keys() {
            // Each circle once, at the first of its names.
            let Some(way) = circle(&edges, child).filter(|way| way.iter().min() == Some(&child.as_str()))
            else {
                continue;
            };
            let places: Vec<&str> = way.windows(2).map(|pair| edges[pair[0]][pair[1]].as_str()).collect();
            found.push(format!("src/{}: {} ({})", folder.join("/"), way.join(" → "), places.join(", ")));
        }
    }
    found
}

#[test]
fn no_modules_of_one_folder_import_each_other_in_a_circle() {
    let sources: Vec<Source> = rust_files("src");
    let found = circles(&sources);
    assert!(found.is_empty(), "circles:\n{}", found.join("\n"));
}

#[test]
fn circles_are_found_in_every_way_to_write_them() {
    let found = |files: &[(&str, &str)]| {
        let sources: Vec<Source> = files.iter().map(|(path, text)| Source::made_up(path, text)).collect();
        circles(&sources)
    };
    let two = [("web/mod.rs", "mod a;\nmod b;"), ("web/a.rs", "use super::b::B;\n"), ("web/b.rs", "")];
    assert_eq!(found(&two), [""; 0]);
    let back = "//! B\nlet a = crate::web::a::a();";
    assert_eq!(
        found(&[two[0], two[1], ("web/b.rs", back)]),
        ["src/web: a → b → a (src/web/a.rs:1, src/web/b.rs:2)"]
    );
    // Deeper down, in a group, and through a name that the room lends out.
    let lending = ("web/mod.rs", "mod a;\nmod b;\npub use b::{B, deep::D};");
    let files = [
        lending,
        ("web/a/mod.rs", "mod c;"),
        ("web/a/c.rs", "use crate::{\n    model::M,\n    web::{self, D},\n};"),
        ("web/b/mod.rs", "pub mod deep;\npub struct B;"),
        ("web/b/deep.rs", "use super::super::a::*;\npub struct D;"),
    ];
    assert_eq!(found(&files), ["src/web: a → b → a (src/web/a/c.rs:1, src/web/b/deep.rs:1)"]);
    // A folder below a room.
    let below =
        [("net/a/mod.rs", ""), ("net/a/b.rs", "use super::c::C;"), ("net/a/c.rs", "use super::b::B;")];
    assert_eq!(found(&below), ["src/net/a: b → c → b (src/net/a/b.rs:1, src/net/a/c.rs:1)"]);
    // What a module takes from its parent is no circle, nor is what only its tests take.
    let parent = [
        ("web/mod.rs", "mod a;\nuse a::A;\npub struct Web;"),
        ("web/a.rs", "use super::Web;\nuse super::b::B;"),
        ("web/b.rs", "use super::Web;\n#[cfg(test)]\nmod tests {\n    use super::super::a::A;\n}"),
    ];
    assert_eq!(found(&parent), [""; 0]);
}
