//! Reads one rule: the words after `-A CHAIN`.

use super::condition::{Condition, Extension, InterfaceSide, Negatable, OptionText, Side};
use super::error::{ParseError, ParseErrorKind, excerpt};
use super::module;
use super::protocol::protocol_number;
use super::ruleset::{Family, Rule};
use super::target::Target;
use super::token::{Token, tokens};
use super::value;

/// Reads the specification of a rule, in the order `iptables-save` writes or in
/// any other that iptables takes.
///
/// `is_chain` says which names are chains of the rule's table.
pub(super) fn rule(
    family: Family,
    text: &str,
    is_chain: &dyn Fn(&str) -> bool,
) -> Result<(Vec<Condition>, Target), ParseErrorKind> {
    RuleReader::new(family, tokens(text)?).read(is_chain)
}

/// Where an option that belongs to an extension goes.
enum Owner {
    None,
    Module(usize),
    Target,
}

/// A condition, or a module whose options are still being collected.
enum Part {
    Done(Condition),
    Module(Extension),
}

struct RuleReader<'a> {
    family: Family,
    words: std::iter::Peekable<std::vec::IntoIter<Token<'a>>>,
    parts: Vec<Part>,
    owner: Owner,
    protocol: Option<u8>,
    jump: Option<Extension>,
    goto: bool,
}

impl<'a> RuleReader<'a> {
    fn new(family: Family, words: Vec<Token<'a>>) -> Self {
        Self {
            family,
            words: words.into_iter().peekable(),
            parts: Vec::with_capacity(4),
            owner: Owner::None,
            protocol: None,
            jump: None,
            goto: false,
        }
    }

    fn read(
        mut self,
        is_chain: &dyn Fn(&str) -> bool,
    ) -> Result<(Vec<Condition>, Target), ParseErrorKind> {
        let mut negated = false;
        while let Some(word) = self.words.next() {
            if word.is_negation() && !negated {
                negated = true;
                continue;
            }
            if !word.is_option() {
                return Err(unexpected(&word.text));
            }
            self.option(&word.text, negated)?;
            negated = false;
        }
        if negated {
            return Err(unexpected("!"));
        }
        self.finish(is_chain)
    }

    fn option(&mut self, option: &str, negated: bool) -> Result<(), ParseErrorKind> {
        match option {
            "-s" | "--source" | "--src" => self.address(option, Side::Source, negated),
            "-d" | "--destination" | "--dst" => self.address(option, Side::Destination, negated),
            "-i" | "--in-interface" => self.interface(option, InterfaceSide::In, negated),
            "-o" | "--out-interface" => self.interface(option, InterfaceSide::Out, negated),
            "-p" | "--protocol" | "--proto" => self.protocol(option, negated),
            "-f" | "--fragment" => {
                self.parts.push(Part::Done(Condition::Fragment { negated }));
                Ok(())
            }
            _ if negated
                && matches!(option, "-m" | "--match" | "-j" | "--jump" | "-g" | "--goto") =>
            {
                Err(unexpected("!"))
            }
            "-m" | "--match" => {
                let name = self.value(option)?;
                self.open_module(name);
                Ok(())
            }
            "-j" | "--jump" => self.jump(option, false),
            "-g" | "--goto" => self.jump(option, true),
            _ => self.extension_option(option, negated),
        }
    }

    fn value(&mut self, option: &str) -> Result<String, ParseErrorKind> {
        match self.words.next() {
            Some(word) => Ok(word.text.into_owned()),
            None => Err(ParseErrorKind::MissingValue {
                option: excerpt(option),
            }),
        }
    }

    fn address(&mut self, option: &str, side: Side, negated: bool) -> Result<(), ParseErrorKind> {
        let value = value::address_mask(self.family, &self.value(option)?)?;
        let value = Negatable { negated, value };
        self.parts
            .push(Part::Done(Condition::Address { side, value }));
        Ok(())
    }

    fn interface(
        &mut self,
        option: &str,
        side: InterfaceSide,
        negated: bool,
    ) -> Result<(), ParseErrorKind> {
        let value = Negatable {
            negated,
            value: self.value(option)?,
        };
        self.parts
            .push(Part::Done(Condition::Interface { side, value }));
        Ok(())
    }

    fn protocol(&mut self, option: &str, negated: bool) -> Result<(), ParseErrorKind> {
        let name = self.value(option)?;
        self.parts.push(Part::Done(match protocol_number(&name) {
            Some(value) => {
                self.protocol = (!negated).then_some(value);
                Condition::Protocol(Negatable { negated, value })
            }
            None if name.starts_with(|c: char| c.is_ascii_digit()) => {
                return Err(value::bad_number("protocol", &name));
            }
            None => Condition::ProtocolName(Negatable {
                negated,
                value: name,
            }),
        }));
        Ok(())
    }

    fn open_module(&mut self, name: String) {
        self.owner = Owner::Module(self.parts.len());
        self.parts.push(Part::Module(Extension {
            name,
            options: Vec::new(),
        }));
    }

    fn jump(&mut self, option: &str, goto: bool) -> Result<(), ParseErrorKind> {
        if self.jump.is_some() {
            return Err(unexpected(option));
        }
        let name = self.value(option)?;
        self.jump = Some(Extension {
            name,
            options: Vec::new(),
        });
        self.goto = goto;
        self.owner = Owner::Target;
        Ok(())
    }

    fn extension_option(&mut self, name: &str, negated: bool) -> Result<(), ParseErrorKind> {
        let mut values = Vec::new();
        match module::value_count(name) {
            Some(count) => {
                for _ in 0..count {
                    values.push(self.value(name)?);
                }
            }
            None => {
                while let Some(word) = self.words.next_if(is_value) {
                    values.push(word.text.into_owned());
                }
            }
        }
        let option = OptionText {
            negated,
            name: name.to_owned(),
            values,
        };
        let owner = self.owner_of(name);
        let extension = match owner {
            Owner::Module(at) => match self.parts.get_mut(at) {
                Some(Part::Module(module)) => Some(module),
                _ => None,
            },
            Owner::Target => self.jump.as_mut(),
            Owner::None => None,
        };
        match extension {
            Some(extension) => extension.options.push(option),
            None => return Err(unexpected(name)),
        }
        Ok(())
    }

    /// The module or target an option belongs to. A protocol's own option goes
    /// to the protocol's module, wherever it stands and even if `-m` is missing.
    fn owner_of(&mut self, option: &str) -> Owner {
        if !module::is_protocol_option(option) {
            return match self.owner {
                Owner::Module(at) => Owner::Module(at),
                Owner::Target => Owner::Target,
                Owner::None => Owner::None,
            };
        }
        let Some(name) = self.protocol.and_then(module::protocol_module) else {
            return Owner::None;
        };
        let known = self.parts.iter().position(
            |part| matches!(part, Part::Module(module) if module.name == name || (name == "icmp6" && module.name == "icmpv6")),
        );
        match known {
            Some(at) => Owner::Module(at),
            None => {
                self.parts.push(Part::Module(Extension {
                    name: name.to_owned(),
                    options: Vec::new(),
                }));
                Owner::Module(self.parts.len() - 1)
            }
        }
    }

    fn finish(
        self,
        is_chain: &dyn Fn(&str) -> bool,
    ) -> Result<(Vec<Condition>, Target), ParseErrorKind> {
        let mut conditions = Vec::with_capacity(self.parts.len());
        for part in self.parts {
            conditions.push(match part {
                Part::Done(condition) => condition,
                Part::Module(module) => module::condition(self.family, module)?,
            });
        }
        let target = match self.jump {
            None => Target::None,
            Some(jump) => target(jump, self.goto, is_chain)?,
        };
        Ok((conditions, target))
    }
}

fn target(
    jump: Extension,
    goto: bool,
    is_chain: &dyn Fn(&str) -> bool,
) -> Result<Target, ParseErrorKind> {
    let plain = match jump.name.as_str() {
        "ACCEPT" if !goto => Some(Target::Accept),
        "DROP" if !goto => Some(Target::Drop),
        "RETURN" if !goto => Some(Target::Return),
        name if is_chain(name) => {
            let chain = name.to_owned();
            Some(if goto {
                Target::Goto(chain)
            } else {
                Target::Jump(chain)
            })
        }
        _ => None,
    };
    if let Some(target) = plain {
        return match jump.options.first() {
            Some(option) => Err(unexpected(&option.name)),
            None => Ok(target),
        };
    }
    // The caller knows the table's name.
    let unknown = ParseErrorKind::UnknownChain {
        chain: excerpt(&jump.name),
        table: String::new(),
    };
    if goto {
        return Err(unknown);
    }
    module::target(jump)?.ok_or(unknown)
}

/// Whether a word can only be a value: a negative number is one, too.
fn is_value(word: &Token<'_>) -> bool {
    let negative = word
        .text
        .strip_prefix('-')
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    !word.is_negation() && (!word.is_option() || negative)
}

fn unexpected(token: &str) -> ParseErrorKind {
    ParseErrorKind::UnexpectedToken {
        token: excerpt(token),
    }
}

impl Rule {
    /// Reads a rule's specification as it stands on a command line after the
    /// chain's name; `chains` are the chains of its table.
    ///
    /// # Errors
    /// What cannot be read, on line 1.
    pub fn parse(family: Family, text: &str, chains: &[&str]) -> Result<Self, ParseError> {
        let (conditions, target) =
            rule(family, text, &|name| chains.contains(&name)).map_err(|kind| kind.at(1))?;
        Ok(Self {
            line: 1,
            counters: None,
            conditions,
            target,
        })
    }
}
