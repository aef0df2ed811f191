//! Help in Chinese: every command, argument and option, by where it stands.

use clap::{Arg, ArgAction, Command};

use super::table::HELP;

/// Headings, as clap writes them in English.
const TEMPLATE: &str = "{about-with-newline}\n用法：{usage}\n\n{all-args}{after-help}";

/// The command with its help in Chinese.
pub fn chinese(command: Command) -> Command {
    let mut command = said(command, "");
    command.build();
    helps(command)
}

/// The `help` that clap adds by itself while it builds.
fn helps(command: Command) -> Command {
    command.mut_subcommands(|sub| {
        if sub.get_name() == "help" {
            sub.about("显示某个命令的帮助")
        } else {
            helps(sub)
        }
    })
}

fn said(command: Command, path: &str) -> Command {
    let mut command = command
        .help_template(TEMPLATE)
        .subcommand_help_heading("命令")
        .disable_help_flag(true);
    if path.is_empty() {
        command = command.disable_version_flag(true).arg(
            Arg::new("version")
                .short('V')
                .long("version")
                .action(ArgAction::Version)
                .help("显示版本"),
        );
    }
    if let Some(about) = of(path) {
        command = command.about(about);
    }
    let place = path.to_owned();
    command = command.mut_args(move |arg| {
        let heading = if arg.is_positional() {
            "参数"
        } else {
            "选项"
        };
        let text = of_argument(&place, &arg);
        let arg = arg.help_heading(heading);
        if let Some(text) = text {
            arg.help(text)
        } else {
            arg
        }
    });
    command = command.arg(
        Arg::new("help")
            .short('h')
            .long("help")
            .action(ArgAction::Help)
            .help("显示帮助")
            .help_heading("选项"),
    );
    let names: Vec<String> = command
        .get_subcommands()
        .map(|sub| sub.get_name().to_owned())
        .collect();
    names.into_iter().fold(command, |command, name| {
        let path = format!("{path} {name}").trim().to_owned();
        command.mut_subcommand(name, move |sub| said(sub, &path))
    })
}

fn of(id: &str) -> Option<&'static str> {
    HELP.iter()
        .find(|(known, _)| *known == id)
        .map(|(_, text)| *text)
}

/// An argument's text: that of its command, else that of every command which has it.
fn of_argument(path: &str, arg: &Arg) -> Option<&'static str> {
    let name = arg
        .get_long()
        .map_or_else(|| format!("<{}>", arg.get_id()), |long| format!("--{long}"));
    of(format!("{path} {name}").trim()).or_else(|| of(&format!("* {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(command: &Command, path: &str, found: &mut Vec<String>) {
        let of_command = command.get_about().filter(|_| of(path).is_none());
        found.extend(of_command.map(|about| format!("(\"{path}\", \"{about}\"),")));
        for arg in command.get_arguments().filter(|arg| {
            !["help", "version"].contains(&arg.get_id().as_str())
                && of_argument(path, arg).is_none()
        }) {
            let name = arg
                .get_long()
                .map_or_else(|| format!("<{}>", arg.get_id()), |long| format!("--{long}"));
            found.push(format!(
                "(\"{path} {name}\", \"{}\"),",
                arg.get_help().map(ToString::to_string).unwrap_or_default()
            ));
        }
        for sub in command.get_subcommands() {
            missing(sub, format!("{path} {}", sub.get_name()).trim(), found);
        }
    }

    fn ids(command: &Command, path: &str) -> Vec<String> {
        let names = command.get_arguments().map(|arg| {
            arg.get_long()
                .map_or_else(|| format!("<{}>", arg.get_id()), |long| format!("--{long}"))
        });
        let own = names
            .flat_map(|name| {
                [
                    format!("{path} {name}").trim().to_owned(),
                    format!("* {name}"),
                ]
            })
            .chain([path.to_owned()]);
        own.chain(
            command
                .get_subcommands()
                .flat_map(|sub| ids(sub, format!("{path} {}", sub.get_name()).trim())),
        )
        .collect()
    }

    #[test]
    fn every_command_and_option_has_its_chinese_and_the_table_nothing_else() {
        let command = crate::cli::command();
        let mut found = Vec::new();
        missing(&command, "", &mut found);
        assert!(found.is_empty(), "\n{}\n", found.join("\n"));
        let ids = ids(&command, "");
        let stale: Vec<&str> = HELP
            .iter()
            .map(|(id, _)| *id)
            .filter(|id| !ids.iter().any(|known| known == id))
            .collect();
        assert_eq!(stale, [""; 0]);
    }

    #[test]
    fn the_chinese_command_is_one_clap_accepts_and_its_help_is_chinese() {
        let mut command = chinese(crate::cli::command());
        command.clone().debug_assert();
        let asked = |arguments: &[&str]| {
            command
                .clone()
                .try_get_matches_from(arguments)
                .unwrap_err()
                .to_string()
        };
        assert!(asked(&["ltcgw", "help", "dead"]).contains("按原因列出死信"));
        assert!(asked(&["ltcgw", "dead", "retry", "--help"]).contains("对方确认已有：视为已送达"));
        let text = command.render_help().to_string();
        for expected in ["用法：ltcgw", "命令:", "选项:", "显示帮助", "死信"] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
        for english in ["Usage", "Commands", "Options", "Print"] {
            assert!(!text.contains(english), "{english}: {text}");
        }
    }
}
