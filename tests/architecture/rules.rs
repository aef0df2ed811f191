//! The rules themselves, each from a source to findings: `file:line: what is wrong; what to do`.

use super::source::Source;

/// Groups of the import rule, from the right: a module may use those of lower groups only.
const GROUPS: [&[&str]; 7] = [
    &["model", "error", "config", "telemetry"],
    &["adapter", "ledger", "link", "registry", "store"],
    &["flow"],
    &["server", "worker"],
    &["service"],
    &["sandbox"], // demo and `pki init` are commands on it
    &["cli", "main", "lib"],
];
const LINES_MAX: usize = 800;
const SQL: [&str; 11] = [
    "SELECT ",
    "INSERT INTO ",
    "UPDATE ",
    "DELETE FROM ",
    "WITH ",
    "CREATE ",
    "ALTER ",
    "DROP ",
    "COPY ",
    "TRUNCATE ",
    "LOCK TABLE ",
];

fn group(module: &str) -> Option<usize> {
    GROUPS.iter().position(|modules| modules.contains(&module))
}

/// The crate's module a file belongs to.
fn module_of(source: &Source) -> &str {
    let path = source
        .name
        .trim_start_matches("src/")
        .trim_end_matches(".rs");
    path.split('/').next().unwrap_or_default()
}

/// Uses of modules that are not to the right.
pub fn imports(source: &Source) -> Vec<String> {
    if source.is_test {
        return Vec::new();
    }
    let own = module_of(source);
    let mut findings = Vec::new();
    for (at, used) in uses(source) {
        let text = match (group(own), group(&used)) {
            (None, _) => format!(
                "`{own}` has no place in the import rule; give it one in tests/architecture/rules.rs and src/lib.rs"
            ),
            (_, None) => {
                format!("`{used}` has no place in the import rule; name modules of the crate only")
            }
            (Some(_), Some(_)) if own == used => continue,
            (Some(0), Some(0)) => continue,
            (Some(mine), Some(theirs)) if theirs < mine => continue,
            _ => format!(
                "`{own}` may not use `{used}`; move what both need to the right (model), or let a flow or the service join them"
            ),
        };
        findings.push(format!("{}:{}: {text}", source.name, source.line(at)));
    }
    findings
}

/// Modules of the crate named in code, by `crate::` or by enough `super::`, with where.
fn uses(source: &Source) -> Vec<(usize, String)> {
    let code = &source.code;
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let standalone =
            !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$');
        if standalone {
            found.extend(
                heads(&code[at + "crate::".len()..])
                    .into_iter()
                    .map(|name| (at, name)),
            );
        }
    }
    let depth = source.name.matches('/').count();
    for (at, _) in code.match_indices("super::") {
        if code[..at].ends_with("super::")
            || code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
        {
            continue;
        }
        let mut rest = &code[at..];
        let mut up = 0;
        while let Some(next) = rest.strip_prefix("super::") {
            (rest, up) = (next, up + 1);
        }
        if up == depth {
            found.extend(
                heads(rest)
                    .into_iter()
                    .filter(|name| group(name).is_some())
                    .map(|name| (at, name)),
            );
        }
    }
    found
}

/// The first names of a path, or of each path in braces.
fn heads(rest: &str) -> Vec<String> {
    let name = |text: &str| {
        text.trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect::<String>()
    };
    let Some(inside) = rest.strip_prefix('{') else {
        return vec![name(rest)];
    };
    let (mut depth, mut start, mut names) = (0, 0, Vec::new());
    for (at, c) in inside.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(name(&inside[start..at]));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// Modules of the crate without a sentence beside them or a place in the import rule.
pub fn library(source: &Source) -> Vec<String> {
    let mut findings = Vec::new();
    for (at, line) in source.text.lines().enumerate() {
        let Some((module, rest)) = line
            .strip_prefix("pub mod ")
            .and_then(|rest| rest.split_once(';'))
        else {
            continue;
        };
        if rest
            .trim()
            .strip_prefix("//")
            .is_none_or(|sentence| sentence.trim().len() < 3)
        {
            findings.push(format!(
                "{}:{}: `{module}` has no sentence; say after it what it is for",
                source.name,
                at + 1
            ));
        }
        if group(module).is_none() {
            findings.push(format!(
                "{}:{}: `{module}` has no place in the import rule; give it one here and in tests/architecture/rules.rs",
                source.name,
                at + 1
            ));
        }
    }
    findings
}

/// A file that does not begin by saying what it does.
pub fn opening(source: &Source) -> Option<String> {
    let says = source.text.starts_with("//! ");
    (!says).then(|| {
        format!(
            "{}:1: does not open with `//! `; say what the module does and what it must not do",
            source.name
        )
    })
}

/// A file that is too long.
pub fn length(source: &Source) -> Option<String> {
    let lines = source.text.lines().count();
    (lines > LINES_MAX).then(|| {
        format!(
            "{}:{}: has {lines} lines; {LINES_MAX} at most: move a part into a module of its own",
            source.name,
            LINES_MAX + 1
        )
    })
}

/// Panics without a reason.
pub fn unwraps(source: &Source) -> Vec<String> {
    if source.is_test {
        return Vec::new();
    }
    let found = source.code.match_indices(".unwrap()");
    found
        .map(|(at, _)| {
            format!(
                "{}:{}: unwraps; return the error, or say with `expect` why it cannot fail",
                source.name,
                source.line(at)
            )
        })
        .collect()
}

/// Statements outside the store.
pub fn sql(source: &Source) -> Vec<String> {
    if source.is_test
        || source.name.starts_with("src/store")
        || source.name.starts_with("src/sandbox")
    {
        return Vec::new();
    }
    let statement = |literal: &str| {
        SQL.iter()
            .any(|word| literal.trim_start().starts_with(word))
    };
    let found = source
        .strings
        .iter()
        .filter(|(_, literal)| statement(literal));
    found
        .map(|(line, _)| {
            format!(
                "{}:{line}: holds SQL; every statement lives under src/store",
                source.name
            )
        })
        .collect()
}

/// Transactions that are not begun by the guard.
pub fn transactions(source: &Source) -> Vec<String> {
    if source.is_test || source.name == "src/store/tx.rs" || source.name.starts_with("src/sandbox")
    {
        return Vec::new();
    }
    let opens = |literal: &str| {
        literal
            .trim_start()
            .strip_prefix("BEGIN")
            .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    };
    let begun = source
        .strings
        .iter()
        .filter(|(_, literal)| {
            opens(literal) || literal.trim_start().starts_with("START TRANSACTION")
        })
        .map(|(line, _)| *line);
    let by_driver = [".transaction()", ".build_transaction()"]
        .into_iter()
        .flat_map(|call| source.code.match_indices(call))
        .map(|(at, _)| source.line(at));
    let text = "begins a transaction; only store::tx does, so that a request cut off anywhere leaves none open on a pooled connection";
    begun
        .chain(by_driver)
        .map(|line| format!("{}:{line}: {text}", source.name))
        .collect()
}
