//! The rules of the house, held to by reading the sources: who imports whom, how files begin, how
//! long they are, where SQL lives. Each finding names file, line and what to do.

#![allow(clippy::unwrap_used)] // the project's own files are there

#[path = "architecture/names.rs"]
mod names;
#[path = "architecture/rules.rs"]
mod rules;
#[path = "architecture/source.rs"]
mod source;

use std::path::{Path, PathBuf};

use source::Source;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below some folders of the project, read.
fn sources(folders: &[&str]) -> Vec<Source> {
    let mut open: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                found.push(Source::new(&name, &std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    source::mark_tests(&mut found);
    assert!(!found.is_empty(), "no Rust file below {folders:?}");
    found
}

/// Fails with every finding of a rule.
fn hold(findings: impl IntoIterator<Item = String>) {
    let findings: Vec<String> = findings.into_iter().collect();
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn modules_import_only_from_the_right() {
    hold(sources(&["src"]).iter().flat_map(rules::imports));
}

#[test]
fn every_module_of_the_crate_has_its_place_in_the_import_rule_and_its_sentence() {
    hold(rules::library(&Source::new(
        "src/lib.rs",
        &std::fs::read_to_string(root().join("src/lib.rs")).unwrap(),
    )));
}

#[test]
fn every_file_opens_with_what_it_does() {
    hold(sources(&["src", "tests"]).iter().filter_map(rules::opening));
}

#[test]
fn no_file_is_longer_than_a_person_reads_at_once() {
    hold(
        sources(&["src", "tests", "adapters"])
            .iter()
            .filter_map(rules::length),
    );
}

#[test]
fn every_public_type_has_a_name_of_its_own_that_says_what_it_is() {
    hold(names::names(&sources(&["src"])));
}

#[test]
fn nothing_is_unwrapped_without_a_reason() {
    hold(sources(&["src"]).iter().flat_map(rules::unwraps));
}

#[test]
fn sql_lives_in_the_store() {
    hold(sources(&["src"]).iter().flat_map(rules::sql));
}

#[test]
fn transactions_are_begun_by_their_guard_alone() {
    hold(sources(&["src"]).iter().flat_map(rules::transactions));
}

#[test]
fn every_adapter_has_a_page_and_samples() {
    let mut findings = Vec::new();
    for folder in std::fs::read_dir(root().join("adapters"))
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
    {
        let name = folder.strip_prefix(root()).unwrap().display().to_string();
        if !folder.join("README.md").is_file() {
            findings.push(format!("{name}: has no README.md; write the counterpart's page: interface version, peculiarities, open questions"));
        }
        let samples = std::fs::read_dir(folder.join("samples"))
            .map(|entries| entries.count())
            .unwrap_or(0);
        if samples == 0 {
            findings.push(format!(
                "{name}: has no samples/; add documents with what must come of them"
            ));
        }
    }
    hold(findings);
}

/// The rules find what they are for, and nothing in what only looks like it.
mod proof {
    use super::rules;
    use super::source::{Source, mark_tests};

    fn imports(name: &str, text: &str) -> Vec<String> {
        rules::imports(&Source::new(name, text))
    }

    #[test]
    fn an_import_from_the_left_is_found_in_every_spelling() {
        for text in [
            "use crate::store::Store;",
            "use crate::{error::Fault, store::{Store, fault}};",
            "use crate::{\n    error::Fault,\n    store,\n};",
            "fn f() { let x = crate::store::open(); }",
            "pub use super::super::store::Store;",
        ] {
            let found = imports("src/ledger/book.rs", &format!("//! x\n{text}\n"));
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert!(
                found[0].starts_with("src/ledger/book.rs:")
                    && found[0].contains("`ledger` may not use `store`"),
                "{found:?}"
            );
        }
        assert_eq!(
            imports(
                "src/flow/collect.rs",
                "//! x\n\n\nuse crate::server::Server;"
            )[0]
            .split(": ")
            .next(),
            Some("src/flow/collect.rs:4")
        );
        assert_eq!(
            imports("src/worker.rs", "use crate::server::Server;").len(),
            1,
            "neighbours do not know each other"
        );
        assert_eq!(imports("src/store.rs", "use super::link::Client;").len(), 1);
        assert_eq!(imports("src/flow.rs", "use crate::unheard::Of;").len(), 1);
    }

    #[test]
    fn imports_from_the_right_comments_strings_and_tests_are_let_be() {
        for text in [
            "use crate::{error::Fault, model::{Fen, Month}, ledger::fund};",
            "// use crate::store::Store;\n/* crate::store */",
            "const X: &str = \"crate::store::Store\"; const Y: &str = r#\"use crate::store\"; \"#;",
            "#[cfg(test)]\nmod tests {\n    use crate::store::Store;\n    fn f() { let x = '{'; }\n}\n",
            "#[cfg(test)]\nuse crate::store::Store;",
            "use super::fund::Fund;",
            "fn f<'a>(x: &'a str) -> char { '\"' }",
        ] {
            assert_eq!(
                imports("src/ledger/book.rs", text),
                Vec::<String>::new(),
                "{text}"
            );
        }
        let mut sources = [
            Source::new("src/ledger.rs", "#[cfg(test)]\nmod facts;"),
            Source::new("src/ledger/facts.rs", "use crate::store::Store;"),
            Source::new("src/ledger/facts/of.rs", "use crate::store::Store;"),
            Source::new("src/ledger/factsheet.rs", "use crate::store::Store;"),
        ];
        mark_tests(&mut sources);
        assert_eq!(
            sources
                .iter()
                .map(|source| rules::imports(source).len())
                .collect::<Vec<_>>(),
            [0, 0, 0, 1]
        );
        let after = "#[cfg(test)]\nmod tests {\n}\nuse crate::store::Store;";
        assert_eq!(
            imports("src/ledger/book.rs", after).len(),
            1,
            "what follows the tests counts again"
        );
    }

    #[test]
    fn an_unwrap_is_found_and_those_of_tests_are_let_be() {
        let found = rules::unwraps(&Source::new(
            "src/x.rs",
            "fn f() {\n    g().unwrap();\n}\n#[cfg(test)]\nmod tests { fn f() { g().unwrap() } }\n// .unwrap()",
        ));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("src/x.rs:2: "), "{found:?}");
        assert!(
            rules::unwraps(&Source::new(
                "src/x.rs",
                "fn f() { g().unwrap_or_default().expect(\"it holds\") }"
            ))
            .is_empty()
        );
    }

    #[test]
    fn sql_outside_the_store_is_found() {
        let text = "const SQL: &str = \"\n    SELECT 1\";";
        assert!(
            rules::sql(&Source::new("src/flow/x.rs", text))[0].starts_with("src/flow/x.rs:1: ")
        );
        assert!(rules::sql(&Source::new("src/store/x.rs", text)).is_empty());
        assert!(
            rules::sql(&Source::new(
                "src/flow/x.rs",
                "const X: &str = \"SELECTED by WITH\"; // SELECT 1"
            ))
            .is_empty()
        );
    }

    #[test]
    fn a_transaction_begun_beside_the_guard_is_found() {
        let found = |name: &str, text: &str| rules::transactions(&Source::new(name, text)).len();
        for text in [
            "client.batch_execute(\"BEGIN\")",
            "const B: &str = \"BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT 1\";",
            "client.transaction().await?",
        ] {
            assert_eq!(
                (
                    found("src/store/x.rs", text),
                    found("src/store/tx.rs", text)
                ),
                (1, 0),
                "{text}"
            );
        }
        assert_eq!(
            found(
                "src/link/x.rs",
                "const P: &str = \"-----BEGIN CERTIFICATE-----\"; // BEGIN"
            ),
            0
        );
        assert_eq!(
            found(
                "src/store/x.rs",
                "#[cfg(test)]\nmod tests { const B: &str = \"BEGIN\"; }"
            ),
            0
        );
    }

    #[test]
    fn a_name_that_is_taken_or_says_nothing_is_found_and_private_ones_and_those_of_tests_are_let_be()
     {
        let one = Source::new(
            "src/a.rs",
            "//! a\npub struct Refusal;\npub(super) enum Told {}\nstruct Batch;\n",
        );
        let other = Source::new(
            "src/b.rs",
            "//! b\npub(in crate::b) trait Refusal {}\npub type Settled = u8;\npub struct SettledBatch;\n#[cfg(test)]\nmod tests { pub struct Batch; pub struct Refusal; }\n",
        );
        let found = super::names::names(&[one, other]);
        let places: Vec<&str> = found
            .iter()
            .filter_map(|text| text.split(": ").next())
            .collect();
        assert_eq!(
            places,
            ["src/a.rs:3", "src/b.rs:2", "src/b.rs:3"],
            "{found:?}"
        );
        assert!(
            found[1].contains("`Refusal` is defined at src/a.rs:2 as well"),
            "{found:?}"
        );
    }

    #[test]
    fn a_file_without_a_beginning_or_without_an_end_is_found() {
        assert!(rules::opening(&Source::new("src/x.rs", "use std::fmt;\n")).is_some());
        assert!(rules::opening(&Source::new("src/x.rs", "//! What it does.\n")).is_none());
        assert!(rules::length(&Source::new("src/x.rs", &"x\n".repeat(801))).is_some());
        assert!(rules::length(&Source::new("src/x.rs", &"x\n".repeat(800))).is_none());
    }

    #[test]
    fn a_module_without_a_sentence_or_a_place_is_found() {
        let library = |text: &str| rules::library(&Source::new("src/lib.rs", text));
        assert!(library("pub mod store; // every SQL statement\n").is_empty());
        assert!(library("pub mod store;\n")[0].contains("no sentence"));
        assert!(library("pub mod novelty; // new\n")[0].contains("no place in the import rule"));
    }
}
