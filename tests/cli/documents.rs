//! What the documents tell people to type exists, and links in them lead somewhere.

use std::collections::BTreeSet;
use std::process::Command;

use crate::support::project;

const PAGES: [&str; 19] = [
    "README.md",
    "README.zh-CN.md",
    "CONTRIBUTING.md",
    "ARCHITECTURE.md",
    "docs/integrator.md",
    "docs/integrator.zh-CN.md",
    "docs/operator.md",
    "docs/operator.zh-CN.md",
    "docs/administrator.md",
    "docs/administrator.zh-CN.md",
    "docs/decisions.md",
    "docs/security.md",
    "adapters/README.md",
    "adapters/README.zh-CN.md",
    "config/rates/README.md",
    "config/rates/README.zh-CN.md",
    "docs/pulling.md",
    "docs/report.md",
    "docs/tlcp.md",
];

fn read(page: &str) -> String {
    std::fs::read_to_string(project().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// Lines of code blocks of the shell, and text between single backticks, that begin with `ltcgw `.
fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut shell = false;
    for line in text.lines() {
        if let Some(fence) = line.trim_start().strip_prefix("```") {
            shell = fence == "sh";
        } else if shell {
            let line = line
                .trim_start_matches("sudo ")
                .trim_start_matches("-u ltcgw ");
            found.extend(line.starts_with("ltcgw ").then(|| line.to_owned()));
        } else {
            found.extend(
                line.split('`')
                    .skip(1)
                    .step_by(2)
                    .filter(|code| code.starts_with("ltcgw "))
                    .map(str::to_owned),
            );
        }
    }
    found
}

/// The command's words before its first option or argument, and its options.
fn parts(command: &str) -> (Vec<&str>, BTreeSet<&str>) {
    let code = command.split(" #").next().unwrap_or_default();
    let words: Vec<&str> = code
        .split_whitespace()
        .skip(1)
        .take_while(|word| *word != "|" && *word != "&&")
        .collect();
    let named = words
        .iter()
        .take_while(|word| {
            word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-')
        })
        .copied()
        .collect();
    let options = words
        .iter()
        .filter(|word| word.starts_with("--"))
        .map(|word| {
            word.trim_end_matches([',', ')', ']'])
                .split('=')
                .next()
                .unwrap_or_default()
        });
    (named, options.collect())
}

fn help(path: &[&str]) -> Option<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ltcgw"));
    let output = command
        .args(path)
        .arg("--help")
        .env("LC_ALL", "C")
        .env("COLUMNS", "200")
        .output()
        .expect("the binary starts");
    output
        .status
        .success()
        .then(|| String::from_utf8(output.stdout).expect("UTF-8"))
}

#[test]
fn every_command_and_option_the_documents_name_exists() {
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for page in PAGES {
        for command in commands(&read(page)) {
            let (named, options) = parts(&command);
            if named == ["help"] {
                continue;
            }
            // A value may look like a command (`ltcgw adapter new my-bureau`): at most two words are names.
            let texts: Vec<String> = (1..=named.len().min(2))
                .rev()
                .filter_map(|count| help(&named[..count]))
                .take(1)
                .collect();
            let Some(text) = texts.first().filter(|_| !named.is_empty()) else {
                wrong.push(format!("{page}: `{command}` is no command"));
                continue;
            };
            wrong.extend(
                options
                    .into_iter()
                    .filter(|option| !text.contains(*option))
                    .map(|option| format!("{page}: `{command}` has no {option}")),
            );
            seen.insert(named.join(" "));
        }
    }
    assert_eq!(wrong, [""; 0]);
    assert!(seen.len() > 30, "{seen:?}");
}

/// The anchor of a heading, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading
        .trim()
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c))
        .collect::<String>();
    kept.replace(' ', "-")
}

#[test]
fn every_link_of_the_documents_leads_to_a_file_and_a_heading() {
    let mut wrong = Vec::new();
    for page in PAGES {
        let text = read(page);
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
            .filter(|link| !link.contains("://"))
        {
            let (path, place) = link
                .split_once('#')
                .map_or((link, None), |(path, place)| (path, Some(place)));
            let file = project().join(page).parent().expect("a folder").join(path);
            let target = if path.is_empty() {
                project().join(page)
            } else {
                file
            };
            if !target.exists() {
                wrong.push(format!("{page}: {link}: there is no such file"));
            } else if let Some(place) = place {
                let headings = std::fs::read_to_string(&target).unwrap_or_default();
                let there = headings
                    .lines()
                    .filter(|line| line.starts_with('#'))
                    .any(|line| anchor(line.trim_start_matches('#')) == place);
                let named = headings.contains(&format!("<a id=\"{place}\">"));
                wrong.extend(
                    (!there && !named).then(|| format!("{page}: {link}: there is no such heading")),
                );
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

/// Keys of the structs of a source that take no unknown ones.
fn keys(source: &str) -> BTreeSet<String> {
    let text = read(source);
    let mut found = BTreeSet::new();
    for part in text.split("deny_unknown_fields").skip(1) {
        let body = part
            .split('{')
            .nth(1)
            .and_then(|rest| rest.split("\n}").next())
            .unwrap_or_default();
        let mut skipped = false;
        for line in body.lines().map(str::trim) {
            let name = line
                .trim_start_matches("pub(super) ")
                .trim_start_matches("pub ")
                .trim_start_matches("r#");
            if let Some((name, _)) = name
                .split_once(": ")
                .filter(|(name, _)| name.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
                && !std::mem::take(&mut skipped)
            {
                found.insert(name.to_owned());
            }
            skipped |= line == "#[serde(skip)]";
        }
    }
    found
}

#[test]
fn every_key_of_adapters_and_rate_files_is_described() {
    let grammar = [
        "manifest.rs",
        "outbound/manifest.rs",
        "outbound/results.rs",
        "reply/rules.rs",
    ];
    let grammar: BTreeSet<String> = grammar
        .iter()
        .flat_map(|file| keys(&format!("src/adapter/{file}")))
        .collect();
    let rates = keys("src/ledger/rate_file.rs");
    assert!(
        grammar.len() > 40 && rates.len() > 20,
        "{grammar:?} {rates:?}"
    );
    let mut missing = Vec::new();
    for (keys, pages) in [
        (grammar, ["adapters/README.md", "adapters/README.zh-CN.md"]),
        (
            rates,
            ["config/rates/README.md", "config/rates/README.zh-CN.md"],
        ),
    ] {
        for page in pages {
            let text = read(page);
            let described = |key: &str| {
                [
                    format!("`{key}`"),
                    format!("{key} ="),
                    format!("[{key}]"),
                    format!(".{key}]"),
                    format!("{key}  "),
                ]
                .iter()
                .any(|form| text.contains(form))
            };
            missing.extend(
                keys.iter()
                    .filter(|key| !described(key))
                    .map(|key| format!("{page} lacks {key}")),
            );
        }
    }
    assert_eq!(missing, [""; 0]);
}

#[test]
fn the_example_of_a_rate_file_is_one() {
    for page in ["config/rates/README.md", "config/rates/README.zh-CN.md"] {
        let text = read(page);
        let example = text
            .split("```toml\n")
            .nth(1)
            .and_then(|rest| rest.split("```").next())
            .expect("an example");
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("450100-nanning.toml"), example).expect("written");
        let book = ltcgw::ledger::RateBook::load(dir.path())
            .unwrap_or_else(|findings| panic!("{page}: {findings:?}"));
        assert_eq!(book.areas().collect::<Vec<_>>(), ["450100"]);
    }
}

#[test]
fn nobody_is_asked_to_read_or_change_the_gateways_tables() {
    for page in [
        "docs/operator.md",
        "docs/operator.zh-CN.md",
        "docs/administrator.md",
        "docs/administrator.zh-CN.md",
    ] {
        let text = read(page);
        for word in ["psql", "SELECT ", "UPDATE ", "INSERT ", "DELETE FROM"] {
            assert!(!text.contains(word), "{page} has {word}: make it a command");
        }
    }
}

#[test]
fn chinese_pages_have_every_heading_table_row_and_code_block_of_the_english_ones() {
    for page in [
        "docs/integrator",
        "docs/operator",
        "docs/administrator",
        "adapters/README",
        "config/rates/README",
    ] {
        let (english, chinese) = (
            read(&format!("{page}.md")),
            read(&format!("{page}.zh-CN.md")),
        );
        let count =
            |text: &str, start: &str| text.lines().filter(|line| line.starts_with(start)).count();
        for start in ["## ", "### ", "| ", "```", "- "] {
            assert_eq!(
                count(&chinese, start),
                count(&english, start),
                "{page}.zh-CN.md: lines that begin with `{start}`"
            );
        }
    }
}
