//! Manifests that must be refused, with place and reason.

use std::path::Path;

use crate::adapter::outbound::load;

/// Findings of a manifest in a folder that holds the given templates, one per line, paths cut to file names.
fn findings(manifest: &str, templates: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("templates")).unwrap();
    for (name, source) in templates {
        std::fs::write(folder.path().join("templates").join(name), source).unwrap();
    }
    let prefix = format!("{}/", folder.path().display());
    load(folder.path(), manifest)
        .err()
        .unwrap_or_default()
        .iter()
        .map(|finding| finding.to_string().replace(&prefix, ""))
        .collect()
}

/// One outbound with the given lines after `message` and before the reply rules.
fn outbound(lines: &str) -> String {
    format!(
        "[[outbound]]\nmessage = \"m\"\n{lines}\n[outbound.reply]\naccepted = [{{ status = 200 }}]\n"
    )
}

#[test]
fn every_mistake_in_a_manifest_is_named_with_its_place() {
    let json = [("a.json", "{}")];
    for (lines, expected) in [
        (
            "pathh = \"/\"",
            "adapter.toml:3:1: unknown key `pathh`; expected one of ",
        ),
        (
            "path = \"m\"",
            "adapter.toml:3:8: path is `m`; expected one below the partner's URL, starting with /",
        ),
        (
            "path = \"/\"\ntemplate = \"a.txt\"",
            "adapter.toml:4:12: template is `a.txt`; expected the name of a file in templates/ that ends in .json or .xml",
        ),
        (
            "path = \"/\"\ntemplate = \"../a.json\"",
            "adapter.toml:4:12: template is `../a.json`; expected the name",
        ),
        (
            "path = \"/\"\ntemplate = \"b.json\"",
            "adapter.toml:4:12: templates/b.json cannot be read: ",
        ),
        (
            "path = \"/\"\nmethod = \"post\"",
            "adapter.toml:4:10: found `post`; expected one of GET, POST, PUT, DELETE",
        ),
        (
            "path = \"/\"\nrecords_max = 0",
            "adapter.toml:4:15: records_max is 0; expected at least 1",
        ),
        (
            "path = \"/\"\nfund = \"medicall\"",
            "adapter.toml:4:8: fund is `medicall`; expected ",
        ),
        (
            "path = \"/\"\nenvelope = \"nsha\"",
            "adapter.toml:4:12: unknown envelope `nsha` (did you mean `nhsa`?); known are none, nhsa",
        ),
        (
            "path = \"/\"\ntemplate = \"a.json\"\nenvelope = \"nhsa\"",
            "adapter.toml:1:1: envelope = \"nhsa\" needs `infno`",
        ),
        (
            "path = \"/\"\ntemplate = \"a.json\"\nenvelope = \"nhsa\"\ninfno = \"L1\"",
            "adapter.toml:6:9: infno is `L1`; expected a transaction number of 4 characters",
        ),
        (
            "path = \"/\"\ninfno = \"L101\"",
            "adapter.toml:4:9: infno is only used with envelope",
        ),
        (
            "path = \"/\"\nenvelope = \"nhsa\"\ninfno = \"L101\"",
            "adapter.toml:1:1: envelope = \"nhsa\" wraps JSON",
        ),
        (
            "path = \"/\"\nsign = [\"tif_sha256\", \"sm2\"]",
            "adapter.toml:4:8: unknown signature `sm2`; known are none, sm2_sorted_fields, tif_sha256",
        ),
        (
            "path = \"/\"\nsign = \"sm2_sorted_fields\"",
            "adapter.toml:4:8: sm2_sorted_fields signs the fields of an envelope",
        ),
        (
            "path = \"/\"\nidempotent = true",
            "adapter.toml:1:1: idempotent = true needs `idempotency_header`",
        ),
        (
            "path = \"/\"\nidempotency_header = \"a b\"",
            "adapter.toml:4:22: idempotency_header is `a b`",
        ),
        (
            "path = \"/\"\nheaders = { \"x y\" = \"1\" }",
            "adapter.toml:4:13: header `x y` has a name or value that HTTP cannot carry",
        ),
        (
            "path = \"/\"\nheaders = { x = \"a\\r\\nb: c\" }",
            "adapter.toml:4:13: header `x` has a name or value",
        ),
        (
            "path = \"/\"\ninquiry = \"n\"",
            "adapter.toml:4:11: inquiry is `n`; expected the message of another [[outbound]]",
        ),
        ("path = \"/{{ x\"", "adapter.toml:3:8: not a template: "),
    ] {
        let found = findings(&outbound(lines), &json);
        assert!(
            found.len() == 1 && found[0].starts_with(expected),
            "{lines}\nexpected {expected}\nfound    {found:#?}"
        );
    }
}

#[test]
fn a_misspelt_key_gets_a_suggestion() {
    assert!(
        findings(&outbound("path = \"/\"\ncontent_typ = \"x\""), &[])[0]
            .ends_with("(did you mean `content_type`?)")
    );
    let reply = "[[outbound]]\nmessage = \"m\"\npath = \"/\"\nreply.acepted = [{ status = 200 }]\n";
    assert!(
        findings(reply, &[])[0].contains("unknown key `acepted`")
            && findings(reply, &[])[0].ends_with("(did you mean `accepted`?)")
    );
}

#[test]
fn mistakes_in_rules_and_templates_are_all_reported_at_once() {
    let manifest = "[[outbound]]\nmessage = \"m\"\npath = \"/\"\ntemplate = \"a.json\"\n[outbound.reply]\nrejected = [{ at = \"/x\" }]\n\n[[outbound]]\nmessage = \"m\"\npath = \"/\"\n\
                    template = \"b.xml\"\nreply.accepted = [{ status = 200 }]\n";
    let found = findings(
        manifest,
        &[
            (
                "a.json",
                "{\n  \"a\": \"{{ a }}\", \"b\": {{ b|code('kind') }}\n}",
            ),
            ("b.xml", "<a>\n{% if %}</a>"),
        ],
    );
    let expected = [
        "templates/a.json:2:29: there is no codes/kind.csv",
        "templates/a.json:2:1: a tag stands inside a quoted string",
        "templates/b.xml:2:1: not a template: ",
        "adapter.toml:5:1: no rule says when a request is `accepted`",
        "adapter.toml:6:13: a rule has `at` without a test",
        "adapter.toml:8:1: message `m` is defined twice",
    ];
    for (at, part) in expected.iter().enumerate() {
        assert!(
            found.get(at).is_some_and(|found| found.starts_with(part)),
            "{part}\n{found:#?}"
        );
    }
}

#[test]
fn a_manifest_without_outbound_tables_sends_nothing() {
    let outgoing = load(
        Path::new("/nonexistent"),
        "adapter = \"x\"\nspec = 1\n[[inbound]]\nmessage = \"y\"\n",
    )
    .unwrap();
    assert!(outgoing.outbound.is_empty() && outgoing.documents.is_empty());
    assert_eq!(findings("adapter = ", &[]).len(), 1);
}
