//! What commands print at 80 columns, through a pipe and with what terminals are told by their variables.

use std::process::Command;

use unicode_width::UnicodeWidthStr;

use crate::support::{Place, packet};

/// Lines wider than a terminal; of commands to paste, and of paths, a word may be longer.
fn too_wide(text: &str) -> Vec<&str> {
    text.lines()
        .filter(|line| {
            line.width() > 80
                && line.split_whitespace().all(|word| word.width() < 50)
                && !line.trim_start().starts_with("ltcgw ")
        })
        .collect()
}

fn printed(place: &Place, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ltcgw"));
    let output = command
        .args(arguments)
        .arg("--config")
        .arg(place.config())
        .env("COLUMNS", "80")
        .env("LC_ALL", "C")
        .output()
        .expect("the binary starts");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(
        !text.is_empty(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn what_commands_print_is_no_wider_than_the_terminal() {
    let place = Place::new();
    let serving = place.serve().await;
    serving
        .send(
            &place.stage.client("nanning-tax").unwrap(),
            &packet("P1", 2),
        )
        .await
        .unwrap();
    place
        .value(
            "INSERT INTO roster_entry SELECT 450100, 'P' || lpad(n::text, 6, '0'), 202101, 1,
                (ARRAY['active', 'active', 'retired', 'flexible', 'unemployed'])[1 + n % 5]::insured_category,
                n % 50 > 0, NULL, (ARRAY[450102, 450103, 450105])[1 + n % 3], 300000 + n * 100 FROM generate_series(1, 300) n",
        )
        .await;
    place
        .run(&[
            "deduct", "plan", "--area", "450100", "--month", "2021-10", "--by", "Li",
        ])
        .await;
    for arguments in [
        &["doctor"][..],
        &["destinations", "list"],
        &["deduct", "status", "--area", "450100", "--month", "2021-10"],
    ] {
        let text = printed(&place, arguments);
        assert_eq!(too_wide(&text), [""; 0], "{arguments:?}");
        assert!(
            !text.contains('\u{1b}'),
            "no colours in a pipe: {arguments:?}"
        );
    }
}

#[test]
fn the_list_of_adapters_fits_and_names_every_message() {
    let output = Command::new(env!("CARGO_BIN_EXE_ltcgw"))
        .args(["adapter", "list"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("COLUMNS", "80")
        .env("LC_ALL", "C")
        .output();
    let text = String::from_utf8(output.expect("the binary starts").stdout).expect("UTF-8");
    assert_eq!(too_wide(&text), [""; 0]);
    for part in [
        "tax-bureau",
        "employer_collection",
        "deductions_inquiry",
        "filters of templates",
        "yuan_number",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}
