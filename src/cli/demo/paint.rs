//! Bold and colour where standard output is a terminal; plain text elsewhere, with `NO_COLOR` or `TERM=dumb`.

use std::io::IsTerminal;
use std::sync::LazyLock;

static COLOUR: LazyLock<bool> =
    LazyLock::new(|| crate::telemetry::may_colour(std::io::stdout().is_terminal()));

pub(super) fn bold(text: &str) -> String {
    painted("1", text)
}

pub(super) fn dim(text: &str) -> String {
    painted("2", text)
}

pub(super) fn good(text: &str) -> String {
    painted("32", text)
}

pub(super) fn bad(text: &str) -> String {
    painted("1;31", text)
}

fn painted(code: &str, text: &str) -> String {
    if *COLOUR {
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    } else {
        text.to_string()
    }
}
