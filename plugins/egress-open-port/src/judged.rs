//! What was judged of the way out.

use naosu_plugin::{Evidence, Judgement};

/// A firewall that stops the tunnel, or may.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Index among the firewalls of the way.
    pub firewall: usize,
    /// Indexes of the legs that lead to it.
    pub legs: Vec<usize>,
}

/// The whole judgement of a way.
#[derive(Default)]
pub struct Judged {
    pub judgement: Option<Judgement>,
    pub summary: String,
    pub evidence: Vec<Evidence>,
    /// Firewalls that a rule can be added to.
    pub faults: Vec<Fault>,
    /// Indexes of firewalls of which it is not known whether they let it pass.
    pub doubted_firewalls: Vec<usize>,
    /// What only the owner of something that is not Azure's can open: the exact
    /// instruction.
    pub asks: Vec<Ask>,
    /// What else is in the way, and who can open it.
    pub advice: Vec<String>,
}

/// Something to be asked of the owner of what is in the way.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Who is asked, in words.
    pub of: String,
    /// What.
    pub instruction: String,
}

impl Judged {
    /// The judgement; nothing judged is nothing known.
    pub fn judgement(&self) -> Judgement {
        self.judgement.unwrap_or(Judgement::Unknown)
    }
}
