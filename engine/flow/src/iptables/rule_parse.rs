//! Reads one rule: the words after `-A CHAIN`.

use std::borrow::Cow;

use super::condition::{
    Condition, Extension, InterfaceSide, Negatable, OptionText, Side, Transport, TransportModule,
};
use super::error::{ParseError, ParseErrorKind, excerpt};
use super::module;
use super::protocol::protocol_number;
use super::ruleset::{Family, Rule, Specification};
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
) -> Result<Specification, ParseErrorKind> {
    RuleReader::new(family, tokens(text)?).read(is_chain)
}

/// Where an option that belongs to an extension goes.
enum Owner {
    None,
    Module(usize),
    Target,
}

/// What `iptables-save` writes behind the name of an extension that it cannot print.
const UNSUPPORTED: [&str; 2] = ["[unsupported", "revision]"];

/// A condition, or a module whose options are still being collected.
enum Part {
    Done(Condition),
    /// `-m comment` before its `--comment`.
    Comment,
    Module(Extension),
}

impl Part {
    /// Becomes a module of which only the name is known.
    fn not_modelled(&mut self, option: OptionText) {
        let name = match self {
            Self::Module(module) => std::mem::take(&mut module.name),
            Self::Comment => "comment".to_owned(),
            Self::Done(Condition::Transport(transport)) => transport.module.as_str().to_owned(),
            // No name of an extension went before.
            Self::Done(_) => return,
        };
        *self = Self::Done(Condition::Unmodelled(Extension {
            name,
            options: vec![option],
        }));
    }
}

struct RuleReader<'a> {
    family: Family,
    words: std::iter::Peekable<std::vec::IntoIter<Token<'a>>>,
    parts: Vec<Part>,
    owner: Owner,
    protocol: Option<u8>,
    jump: Option<Extension>,
    goto: bool,
    has_policy_module: bool,
    /// Which of the options that stand once were read.
    seen: [bool; 6],
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
            has_policy_module: false,
            seen: [false; 6],
        }
    }

    fn read(mut self, is_chain: &dyn Fn(&str) -> bool) -> Result<Specification, ParseErrorKind> {
        let mut negated = false;
        while let Some(word) = self.words.next() {
            if word.is_negation() && !negated {
                negated = true;
                continue;
            }
            if !negated && self.is_unsupported(&word) {
                self.unsupported()?;
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

    /// Whether `iptables-save` could not print what stands here, as the kernel has a
    /// newer revision of the extension.
    fn is_unsupported(&mut self, word: &Token<'_>) -> bool {
        let [first, second] = UNSUPPORTED;
        let is_first = !word.quoted && word.text == first;
        is_first && self.words.peek().is_some_and(|word| word.text == second)
    }

    /// Takes the extension that was named last for one that is not modelled.
    fn unsupported(&mut self) -> Result<(), ParseErrorKind> {
        self.words.next();
        let [name, value] = UNSUPPORTED.map(str::to_owned);
        let option = OptionText {
            negated: false,
            name,
            values: vec![value],
        };
        match self.owner {
            Owner::Module(at) => {
                if let Some(part) = self.parts.get_mut(at) {
                    part.not_modelled(option);
                }
            }
            Owner::Target => {
                if let Some(jump) = &mut self.jump {
                    jump.options.push(option);
                }
            }
            Owner::None => return Err(unexpected(UNSUPPORTED[0])),
        }
        Ok(())
    }

    /// An option that no rule has twice.
    fn once(&mut self, option: &str) -> Result<(), ParseErrorKind> {
        let kind = match option {
            "-s" | "--source" | "--src" => 0,
            "-d" | "--destination" | "--dst" => 1,
            "-i" | "--in-interface" => 2,
            "-o" | "--out-interface" => 3,
            "-p" | "--protocol" | "--proto" => 4,
            "-f" | "--fragment" => 5,
            _ => return Ok(()),
        };
        match self.seen.get_mut(kind) {
            Some(seen) if *seen => Err(unexpected(option)),
            Some(seen) => {
                *seen = true;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn option(&mut self, option: &str, negated: bool) -> Result<(), ParseErrorKind> {
        // `-m policy` has an option of this name, which hides the other.
        if option == "--proto" && self.has_policy_module {
            return self.extension_option(option, negated);
        }
        self.once(option)?;
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

    fn value(&mut self, option: &str) -> Result<Cow<'a, str>, ParseErrorKind> {
        match self.words.next() {
            Some(word) => Ok(word.text),
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
            value: self.value(option)?.into_owned(),
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
                value: name.into_owned(),
            }),
        }));
        Ok(())
    }

    fn open_module(&mut self, name: Cow<'a, str>) {
        self.owner = Owner::Module(self.parts.len());
        self.has_policy_module |= name == "policy";
        self.parts.push(match TransportModule::from_name(&name) {
            Some(module) => Part::Done(Condition::Transport(Transport::new(module))),
            None if name == "comment" => Part::Comment,
            None => Part::Module(Extension {
                name: name.into_owned(),
                options: Vec::new(),
            }),
        });
    }

    fn jump(&mut self, option: &str, goto: bool) -> Result<(), ParseErrorKind> {
        if self.jump.is_some() {
            return Err(unexpected(option));
        }
        let name = self.value(option)?;
        self.jump = Some(Extension {
            name: name.into_owned(),
            options: Vec::new(),
        });
        self.goto = goto;
        self.owner = Owner::Target;
        Ok(())
    }

    fn extension_option(&mut self, name: &str, negated: bool) -> Result<(), ParseErrorKind> {
        let owner = self.owner_of(name);
        if let Owner::Module(at) = owner
            && self.modelled_option(at, name, negated)?
        {
            return Ok(());
        }
        let mut values = Vec::new();
        match module::value_count(name) {
            Some(count) => {
                for _ in 0..count {
                    values.push(self.value(name)?.into_owned());
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
        let extension = match owner {
            Owner::Module(at) => match self.parts.get_mut(at) {
                Some(Part::Module(module)) => Some(module),
                Some(Part::Done(Condition::Transport(transport))) => {
                    return module::transport_option(transport, option);
                }
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

    /// Reads the options most rules have without keeping them as text.
    fn modelled_option(
        &mut self,
        at: usize,
        name: &str,
        negated: bool,
    ) -> Result<bool, ParseErrorKind> {
        match self.parts.get_mut(at) {
            Some(Part::Comment) if name == "--comment" && !negated => {
                let text = self.value(name)?.into_owned();
                if let Some(part) = self.parts.get_mut(at) {
                    *part = Part::Done(Condition::Comment(text));
                }
                Ok(true)
            }
            Some(Part::Done(Condition::Transport(transport))) => {
                let Some(slot) = module::transport_ports(transport, name) else {
                    return Ok(false);
                };
                if slot.is_some() {
                    return Err(unexpected(name));
                }
                let Some(word) = self.words.next() else {
                    let option = excerpt(name);
                    return Err(ParseErrorKind::MissingValue { option });
                };
                let value = value::port_range(&word.text)?;
                *slot = Some(Negatable { negated, value });
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// The module or target an option belongs to. A protocol's own option goes to the
    /// module named last that has it, wherever it stands, or to the protocol's, even
    /// if `-m` is missing.
    fn owner_of(&mut self, option: &str) -> Owner {
        if !module::is_protocol_option(option) {
            return match self.owner {
                Owner::Module(at) => Owner::Module(at),
                Owner::Target => Owner::Target,
                Owner::None => Owner::None,
            };
        }
        let named = self.parts.iter().rposition(|part| match part {
            Part::Module(module) => module::has_protocol_option(&module.name, option),
            Part::Done(Condition::Transport(transport)) => {
                module::has_protocol_option(transport.module.as_str(), option)
            }
            _ => false,
        });
        if let Some(at) = named {
            return Owner::Module(at);
        }
        let Some(name) = self.protocol.and_then(module::protocol_module) else {
            return Owner::None;
        };
        let before = std::mem::replace(&mut self.owner, Owner::None);
        self.open_module(Cow::Borrowed(name));
        std::mem::replace(&mut self.owner, before)
    }

    fn finish(self, is_chain: &dyn Fn(&str) -> bool) -> Result<Specification, ParseErrorKind> {
        let mut conditions = Vec::with_capacity(self.parts.len());
        for part in self.parts {
            conditions.push(match part {
                Part::Done(condition) => condition,
                Part::Comment => {
                    let option = "--comment".to_owned();
                    return Err(ParseErrorKind::MissingValue { option });
                }
                Part::Module(module) => module::condition(self.family, module)?,
            });
        }
        let target = match self.jump {
            None => Target::None,
            Some(jump) => target(jump, self.goto, is_chain)?,
        };
        Ok(Specification { conditions, target })
    }
}

fn target(
    jump: Extension,
    goto: bool,
    is_chain: &dyn Fn(&str) -> bool,
) -> Result<Target, ParseErrorKind> {
    let mut options = jump.options.iter();
    if options.any(|option| UNSUPPORTED.first() == Some(&option.name.as_str())) {
        return Ok(Target::Unmodelled(jump));
    }
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
        let specification =
            rule(family, text, &|name| chains.contains(&name)).map_err(|kind| kind.at(1))?;
        Ok(Self {
            line: 1,
            counters: None,
            specification: specification.into(),
        })
    }
}
