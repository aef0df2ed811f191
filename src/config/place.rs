//! Where a key or a value stands in gateway.toml or partners.toml, for findings made after the file was read.
//!
//! Looks at lines, as people do; what it does not find has no line, never a wrong one.

use std::path::Path;

/// Line and column of a key of a section of gateway.toml (`""`: before the first section); of the section where the key is not written.
pub fn of_key(source: &str, section: &str, key: &str) -> Option<(usize, usize)> {
    let mut now = "";
    let mut head = None;
    for (at, line) in source.lines().enumerate() {
        if let Some(name) = header(line) {
            now = name;
            head = head.or((now == section).then_some((at + 1, 1)));
        } else if now == section && assigned(line) == Some(key) {
            return Some((at + 1, column(line, key)));
        }
    }
    head
}

/// Line and column of what a finding about a partner is about: a value in quotes, a key or a `[partner.section]`
/// of its entry; the entry's own where that is not written.
pub fn of_partner(source: &str, name: &str, about: &str) -> Option<(usize, usize)> {
    let lines: Vec<&str> = source.lines().collect();
    let starts: Vec<usize> = (0..lines.len())
        .filter(|at| header(lines[*at]) == Some("[partner]"))
        .collect();
    let ends = starts.iter().skip(1).copied().chain([lines.len()]);
    let named =
        |line: &&str| assigned(line) == Some("name") && line.contains(&format!("\"{name}\""));
    let (start, end) = starts
        .iter()
        .copied()
        .zip(ends)
        .find(|(start, end)| lines[*start..*end].iter().any(named))?;
    let value = format!("\"{about}\"");
    let found = (start..end).find_map(|at| {
        let line = uncommented(lines[at]);
        let is_it = header(line) == Some(about) || assigned(line) == Some(about);
        line.find(&value)
            .map(|byte| (at + 1, line[..byte].chars().count() + 1))
            .or(is_it.then_some((at + 1, column(line, about))))
    });
    found.or(Some((start + 1, 1)))
}

/// The same in the file of a configuration folder.
pub fn of_partner_in(dir: &Path, name: &str, about: &str) -> Option<(usize, usize)> {
    of_partner(
        &std::fs::read_to_string(dir.join("partners.toml")).ok()?,
        name,
        about,
    )
}

/// The section in which a shipped file has a key, commented out or not.
pub(super) fn home_of(shipped: &'static str, key: &str) -> Option<&'static str> {
    let mut now = "";
    shipped.lines().find_map(|line| {
        now = header(line).unwrap_or(now);
        (assigned(line.trim_start_matches("# ")) == Some(key)
            && !now.is_empty()
            && !now.starts_with('['))
        .then_some(now)
    })
}

/// `a.b` of `[a.b]`, `[a]` of `[[a]]`.
fn header(line: &str) -> Option<&str> {
    uncommented(line)
        .trim()
        .strip_prefix('[')?
        .strip_suffix(']')
}

/// The key a line gives a value.
fn assigned(line: &str) -> Option<&str> {
    let (key, _) = uncommented(line).split_once('=')?;
    Some(key.trim()).filter(|key| !key.is_empty())
}

/// A line up to its comment; a `#` in quotes begins none.
fn uncommented(line: &str) -> &str {
    let mut quoted = false;
    let end = line.char_indices().find(|(_, character)| {
        quoted ^= *character == '"';
        *character == '#' && !quoted
    });
    end.map_or(line, |(at, _)| &line[..at])
}

fn column(line: &str, what: &str) -> usize {
    line.find(what)
        .map_or(1, |byte| line[..byte].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_are_found_where_people_would_look() {
        let gateway = "data_dir = \"x\"\n[receive] # limits\n# lines_max = 1\n  lines_max = 0\n[log]\njson = true\n";
        assert_eq!(of_key(gateway, "", "data_dir"), Some((1, 1)));
        assert_eq!(of_key(gateway, "receive", "lines_max"), Some((4, 3)));
        assert_eq!(
            of_key(gateway, "receive", "idle_seconds"),
            Some((2, 1)),
            "the section, where the key is a default"
        );
        assert_eq!(of_key(gateway, "deliver", "lease_seconds"), None);
        let partners = "[[partner]]\nname = \"one\"\nadapter = \"x\"\n[[partner]]\nname = \"two\" # \"x\"\nadapter = \"x\"\n[partner.outbound]\nreceives = [\n  \"a\",\n  \"b\", # \"c\"\n]\n[partner.settings]\n";
        assert_eq!(of_partner(partners, "two", "x"), Some((6, 11)));
        assert_eq!(of_partner(partners, "two", "b"), Some((10, 3)));
        assert_eq!(of_partner(partners, "two", "receives"), Some((8, 1)));
        assert_eq!(
            of_partner(partners, "two", "partner.settings"),
            Some((12, 2))
        );
        assert_eq!(
            of_partner(partners, "two", "c"),
            Some((4, 1)),
            "what stands in a comment only is not what is meant"
        );
        assert_eq!(of_partner(partners, "three", "x"), None);
    }
}
