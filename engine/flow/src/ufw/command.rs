//! Reads `ufw show added`: rules as the commands that made them.

use super::error::{UfwError, UfwErrorKind, excerpt, lines};
use super::rule::{
    UfwAction, UfwDirection, UfwRule, address, looks_like_ports, ports, put_address,
};

/// Reads the output of `ufw show added`.
///
/// # Errors
/// A line that is no command of ufw's, with its number.
pub fn parse_added(text: &str) -> Result<Vec<UfwRule>, UfwError> {
    let mut rules = Vec::new();
    for line in lines(text) {
        let (number, line) = line?;
        if line.is_empty() || line.starts_with("Added user rules") || line == "(None)" {
            continue;
        }
        let Some(command) = line.strip_prefix("ufw ") else {
            return Err(UfwErrorKind::NotEnglish {
                text: excerpt(line),
            }
            .at(number));
        };
        rules.push(parse_command(command).map_err(|kind| kind.at(number))?);
    }
    Ok(rules)
}

impl UfwRule {
    /// Reads a rule as it stands on ufw's command line, after `ufw`.
    ///
    /// # Errors
    /// What is no rule, on line 1.
    pub fn parse(command: &str) -> Result<Self, UfwError> {
        parse_command(command).map_err(|kind| kind.at(1))
    }
}

fn parse_command(command: &str) -> Result<UfwRule, UfwErrorKind> {
    let words = words(command)?;
    let mut words = words.iter().map(String::as_str).peekable();
    let route = words.next_if_eq(&"route").is_some();
    let Some(action) = words.next().and_then(UfwAction::from_word) else {
        return Err(UfwErrorKind::unreadable(command));
    };
    let direction = if route {
        UfwDirection::Forward
    } else {
        UfwDirection::In
    };
    let mut rule = UfwRule::new(action, direction);
    let mut to = true;
    let mut out = false;
    while let Some(word) = words.next() {
        let mut value = |field| words.next().ok_or(UfwErrorKind::bad(field, ""));
        match word {
            "in" => out = false,
            "out" => {
                out = true;
                if !route {
                    rule.direction = UfwDirection::Out;
                }
            }
            "on" => {
                let name = value("interface")?.to_owned();
                let slot = if out {
                    &mut rule.out_interface
                } else {
                    &mut rule.in_interface
                };
                *slot = Some(name);
            }
            "log" | "log-all" => rule.logged = true,
            "from" | "to" => {
                to = word == "to";
                let place = value("address")?;
                if place != "any" {
                    let net = address(place).ok_or_else(|| UfwErrorKind::bad("address", place))?;
                    put_address(&mut rule, to, net)?;
                }
            }
            "port" => {
                let list = ports(value("port")?)?;
                let end = if to { &mut rule.to } else { &mut rule.from };
                end.ports = list;
            }
            "app" => {
                let name = value("application")?.to_owned();
                let end = if to { &mut rule.to } else { &mut rule.from };
                end.application = Some(name);
            }
            "proto" => rule.set_protocol(value("protocol")?)?,
            "comment" => rule.comment = Some(value("comment")?.to_owned()),
            short => {
                let (list, protocol) = short.split_once('/').unwrap_or((short, "any"));
                if looks_like_ports(list) {
                    rule.to.ports = ports(list)?;
                    rule.set_protocol(protocol)?;
                } else if short.starts_with(|c: char| c.is_ascii_digit()) || short.contains('/') {
                    return Err(UfwErrorKind::bad("port", short));
                } else {
                    rule.to.application = Some(short.to_owned());
                }
            }
        }
    }
    Ok(rule)
}

/// Splits at blanks; quotes of either kind keep words together.
fn words(command: &str) -> Result<Vec<String>, UfwErrorKind> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in command.chars() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ' | '\t') => words.extend(word.take()),
            (None, _) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(UfwErrorKind::unreadable(command));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_as_ufw_shows_them_are_read() {
        let text = "Added user rules (see 'ufw status' for running firewall):\n\
            ufw allow 22/tcp\n\
            ufw deny from 10.0.0.0/8 to any port 10250 proto tcp\n\
            ufw allow from 10.224.0.0/16 to any port 10250 proto tcp comment 'it\"s x'\n\
            ufw reject 80,443/tcp\n\
            ufw deny in on eth0 from 1.2.3.4\n\
            ufw allow out to 8.8.8.8 port 53 proto udp\n\
            ufw route allow in on eth0 out on eth1 to 10.0.0.0/8 port 80 proto tcp\n\
            ufw allow from 1.1.1.1 proto esp\n\
            ufw limit log 8080/tcp\n\
            ufw allow 'Nginx Full'\n";
        let rules: Vec<String> = parse_added(text)
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            rules,
            [
                "allow in from any to any port 22 proto tcp",
                "deny in from 10.0.0.0/8 to 0.0.0.0/0 port 10250 proto tcp",
                "allow in from 10.224.0.0/16 to 0.0.0.0/0 port 10250 proto tcp",
                "reject in from any to any port 80,443 proto tcp",
                "deny in on eth0 from 1.2.3.4 to 0.0.0.0/0",
                "allow out from 0.0.0.0/0 to 8.8.8.8 port 53 proto udp",
                "route allow in on eth0 out on eth1 from 0.0.0.0/0 to 10.0.0.0/8 port 80 proto tcp",
                "allow in from 1.1.1.1 to 0.0.0.0/0 proto esp",
                "limit in log from any to any port 8080 proto tcp",
                "allow in from any to any app 'Nginx Full'",
            ]
        );
        assert_eq!(
            parse_added(text).unwrap()[2].comment.as_deref(),
            Some("it\"s x")
        );
    }

    #[test]
    fn what_is_no_command_is_refused_with_its_line() {
        for (text, code) in [
            ("\nufw frobnicate 22", "ufw_output_unreadable"),
            ("\nufw allow 99999", "ufw_bad_value"),
            ("\nufw allow from 10.0.0.300", "ufw_bad_value"),
            ("\nufw allow 22/icmp", "ufw_bad_value"),
            ("\nufw allow from", "ufw_bad_value"),
            ("\nufw allow comment 'open", "ufw_output_unreadable"),
            ("\nRègles ajoutées", "ufw_output_translated"),
        ] {
            let error = parse_added(text).unwrap_err();
            assert_eq!((error.line, error.code()), (2, code), "{text}");
        }
    }
}
