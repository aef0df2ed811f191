//! The sample runner: what deviates is found, and blessing only fills gaps.

use std::path::Path;

use crate::adapter::outbound::{Bless, load, run_samples};

#[test]
fn a_receipt_is_rendered_from_any_serializable_context() {
    #[derive(serde::Serialize)]
    struct Receipt<'a> {
        encoding: &'a str,
        refused: Vec<&'a str>,
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("templates")).unwrap();
    std::fs::create_dir_all(folder.path().join("samples/receipt")).unwrap();
    let template = "<?xml version=\"1.0\" encoding=\"{{ encoding }}\"?>\n<P>{% for reason in refused %}<R>{{ reason }}</R>{% endfor %}</P>\n";
    std::fs::write(folder.path().join("templates/receipt.xml"), template).unwrap();
    let outgoing = load(
        folder.path(),
        "[[document]]\nname = \"receipt\"\ntemplate = \"receipt.xml\"\n",
    )
    .unwrap();
    let document = &outgoing.documents[0];
    assert_eq!(
        (document.name(), document.content_type()),
        ("receipt", "application/xml; charset=utf-8")
    );
    let text = document
        .render(&Receipt {
            encoding: "GBK",
            refused: vec!["a<b", "\u{1}"],
        })
        .unwrap();
    assert_eq!(
        text,
        "<?xml version=\"1.0\" encoding=\"GBK\"?>\n<P><R>a&lt;b</R><R>\u{fffd}</R></P>"
    );
    let run = |bless| {
        run_samples(
            folder.path(),
            &outgoing.outbound,
            &outgoing.documents,
            bless,
        )
    };
    assert!(run(Bless::No)[0].text.contains("has no samples"));
    std::fs::write(
        folder.path().join("samples/receipt/one.json"),
        "{\"encoding\": \"GBK\", \"refused\": []}",
    )
    .unwrap();
    assert!(run(Bless::No)[0].text.contains("cannot be read"));
    assert_eq!((run(Bless::Missing), run(Bless::No)), (vec![], vec![]));
    std::fs::write(
        folder.path().join("samples/receipt/one.expected.xml"),
        "<?xml version=\"1.0\" encoding=\"GBK\"?>\n<Q/>\n",
    )
    .unwrap();
    let findings = run(Bless::Missing);
    assert_eq!(findings[0].at, Some((2, 1)), "blessing never overwrites");
    assert!(
        findings[0]
            .text
            .contains("expected <Q/>\n  found    <P></P>"),
        "{}",
        findings[0]
    );
}

/// Findings of running a folder's samples, paths cut to those inside it.
fn run(folder: &Path, bless: Bless) -> Vec<String> {
    let source = std::fs::read_to_string(folder.join("adapter.toml")).unwrap();
    let outgoing = load(folder, &source).unwrap();
    let prefix = format!("{}/samples/m/", folder.display());
    run_samples(folder, &outgoing.outbound, &outgoing.documents, bless)
        .iter()
        .map(|finding| finding.to_string().replace(&prefix, ""))
        .collect()
}

#[test]
fn deviating_replies_unreadable_samples_and_orphans_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    };
    write(
        "adapter.toml",
        "[[outbound]]\nmessage = \"m\"\npath = \"/\"\ntemplate = \"m.json\"\nreply.accepted = [{ status = 200 }]\n",
    );
    write(
        "templates/m.json",
        "{\"a\": {{ a }}, \"key\": {{ reference }}}",
    );
    write("samples/m/ok.json", "{\"a\": 1}");
    assert_eq!(
        run(folder.path(), Bless::Missing),
        [
            "replies: has no samples; add one <name>.http for each outcome the partner's answers can mean"
        ]
    );
    assert_eq!(
        std::fs::read_to_string(folder.path().join("samples/m/ok.expected.json")).unwrap(),
        "{\"a\": 1, \"key\": \"00000000-0000-7000-8000-000000000001\"}\n"
    );
    write("samples/m/undefined.json", "{\"b\": 1}");
    write("samples/m/broken.json", "{");
    write("samples/m/gone.expected.json", "{}");
    write(
        "samples/m/replies/yes.http",
        "HTTP/1.1 200 OK\r\nX: y\r\n\r\n{}",
    );
    write("samples/m/replies/yes.expected.txt", "rejected");
    write("samples/m/replies/what.http", "OK\n\n");
    write("samples/m/replies/head.http", "200 OK\nnonsense\n\n");
    let found = run(folder.path(), Bless::No);
    for part in [
        "gone.expected.json: belongs to no sample",
        "broken.json: is not JSON",
        "undefined.json: template m.json, line 1: `a` is undefined",
        "replies/head.http: has a header without a colon",
        "replies/what.http: its first line has no status",
        "replies/yes.expected.txt:1:1: differs in what comes out:\n  expected rejected\n  found    accepted",
    ] {
        assert!(
            found.iter().any(|found| found.starts_with(part)),
            "{part}\n{found:#?}"
        );
    }
    assert_eq!(found.len(), 6, "{found:#?}");
}
