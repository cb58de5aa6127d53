//! Where a run stands, and what may happen next.

use crate::{
    error::Error,
    model::{
        Event,
        journal::Way,
        run::{RunState, StepState},
    },
};

/// Where one step stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StepStatus {
    /// The last thing known for certain; never [`StepState::InFlight`].
    pub state: StepState,
    /// Whether an intent has no outcome yet.
    pub in_flight: bool,
    /// Whether the change is Naosu's own: false when it was in place before
    /// Naosu wrote anything.
    pub own: bool,
    /// Tries on each way so far: forward, back.
    pub attempts: [u32; 2],
    /// The code of the last refusal on the way now gone.
    pub refused: Option<Refusal>,
}

/// Why a step was refused, as far as it decides what comes next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Refusal {
    /// Forward or back.
    pub way: Way,
    /// Stable code of the error.
    pub code: crate::error::Code,
    /// Its message.
    pub message: String,
}

/// An intent without an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InFlight {
    /// Index of the step.
    pub step: u32,
    /// Forward or back.
    pub way: Way,
    /// Attempt epoch.
    pub attempt: u32,
}

/// The fold of a journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Status {
    state: Option<RunState>,
    steps: Vec<StepStatus>,
    in_flight: Option<InFlight>,
    verified: Option<bool>,
    /// Why steps are taken back, once they are.
    back_because: Option<String>,
    /// Whether the tunnel was asked on each way: forward, back.
    probed: [bool; 2],
}

fn index(way: Way) -> usize {
    match way {
        Way::Forward => 0,
        Way::Back => 1,
    }
}

impl StepStatus {
    /// How often it was tried on this way.
    pub fn attempts_on(&self, way: Way) -> u32 {
        let [forward, back] = self.attempts;
        match way {
            Way::Forward => forward,
            Way::Back => back,
        }
    }

    fn refused_on(&self, way: Way) -> bool {
        self.refused.as_ref().is_some_and(|r| r.way == way)
    }
}

impl Status {
    /// Before the first entry.
    pub fn new(step_count: u32) -> Self {
        let pending = StepStatus {
            state: StepState::Pending,
            in_flight: false,
            own: false,
            attempts: [0, 0],
            refused: None,
        };
        Self {
            state: None,
            steps: vec![pending; step_count as usize],
            in_flight: None,
            verified: None,
            back_because: None,
            probed: [false, false],
        }
    }

    /// Where the run stands; `None` before the first entry.
    pub fn state(&self) -> Option<RunState> {
        self.state
    }

    /// The steps in order.
    pub fn steps(&self) -> &[StepStatus] {
        &self.steps
    }

    /// The intent without an outcome, if there is one.
    pub fn in_flight(&self) -> Option<InFlight> {
        self.in_flight
    }

    /// The verdict, once there is one.
    pub fn verified(&self) -> Option<bool> {
        self.verified
    }

    /// Why steps are taken back, once they are.
    pub fn back_because(&self) -> Option<&str> {
        self.back_because.as_deref()
    }

    /// Whether it is the moment to ask the tunnel, once on each way: before any
    /// step was tried, and when nothing is in place any more.
    pub fn may_probe(&self, way: Way) -> bool {
        let [forward, back] = self.probed;
        let untouched = |s: &StepStatus| s.state == StepState::Pending && s.attempts == [0, 0];
        self.in_flight.is_none()
            && match way {
                Way::Forward => {
                    !forward
                        && self.state == Some(RunState::Applying)
                        && self.steps.iter().all(untouched)
                }
                Way::Back => {
                    !back && self.state == Some(RunState::RollingBack) && !self.any_applied()
                }
            }
    }

    /// Whether nothing more happens by itself.
    pub fn is_final(&self) -> bool {
        self.state.is_some_and(RunState::is_final)
    }

    /// Whether any step is in place.
    pub fn any_applied(&self) -> bool {
        self.steps.iter().any(|s| s.state == StepState::Applied)
    }

    /// The step whose turn it is on this way: forward the first that is not in
    /// place; back the last that is and was not refused.
    pub fn next_step(&self, way: Way) -> Option<u32> {
        let position = match way {
            Way::Forward => self
                .steps
                .iter()
                .position(|s| s.state != StepState::Applied),
            Way::Back => self
                .steps
                .iter()
                .rposition(|s| s.state == StepState::Applied && !s.refused_on(Way::Back)),
        };
        position.and_then(|p| u32::try_from(p).ok())
    }

    /// The one function that owns the legal transitions.
    ///
    /// # Errors
    /// Why the event cannot happen now, in words.
    pub fn after(&self, event: &Event) -> Result<Self, String> {
        let mut next = self.clone();
        match event {
            Event::Started { .. } => {
                require(self.state.is_none(), "the run has begun already")?;
                next.state = Some(RunState::Applying);
            }
            Event::Probed { way, .. } => {
                require(self.may_probe(*way), "the tunnel is not asked now")?;
                if let Some(probed) = next.probed.get_mut(index(*way)) {
                    *probed = true;
                }
            }
            Event::Intent { step, way, attempt } => {
                self.intend(&mut next, *step, *way, *attempt)?
            }
            Event::Applied {
                step,
                way,
                already_in_place,
                ..
            } => self.apply(&mut next, *step, *way, *already_in_place)?,
            Event::Refused { step, way, error } => self.refuse(&mut next, *step, *way, error)?,
            Event::VerifyStarted => {
                self.require_settled(RunState::Applying)?;
                require(
                    self.next_step(Way::Forward).is_none(),
                    "not all steps are in place",
                )?;
                next.state = Some(RunState::Verifying);
            }
            Event::Verified { mended, .. } => {
                self.require_settled(RunState::Verifying)?;
                require(self.verified.is_none(), "it was verified already")?;
                next.verified = Some(*mended);
            }
            Event::RollbackStarted { reason, .. } => self.begin_rollback(&mut next, reason)?,
            Event::Succeeded => {
                self.require_settled(RunState::Verifying)?;
                require(self.verified == Some(true), "it was not verified")?;
                next.state = Some(RunState::Succeeded);
            }
            Event::RolledBack => {
                self.require_settled(RunState::RollingBack)?;
                require(!self.any_applied(), "a step is still in place")?;
                next.state = Some(RunState::RolledBack);
            }
            Event::Cancelled { .. } => {
                self.require_settled(RunState::Applying)?;
                require(!self.any_applied(), "a step is in place")?;
                next.state = Some(RunState::Cancelled);
            }
            Event::Stuck { .. } => {
                let going = self.state.is_some_and(|s| !s.is_final());
                require(going, "the run is not going on")?;
                next.state = Some(RunState::Stuck);
            }
        }
        Ok(next)
    }

    fn require_settled(&self, state: RunState) -> Result<(), String> {
        if self.state != Some(state) {
            return Err(format!("the run is {:?}, not {state:?}", self.state));
        }
        require(self.in_flight.is_none(), "a step is in flight")
    }

    /// The run state in which effects go this way.
    fn require_way(&self, way: Way) -> Result<(), String> {
        let state = match way {
            Way::Forward => RunState::Applying,
            Way::Back => RunState::RollingBack,
        };
        self.require_settled(state)
    }

    fn intend(&self, next: &mut Self, step: u32, way: Way, attempt: u32) -> Result<(), String> {
        self.require_way(way)?;
        // A refused step may be tried again before any other moves.
        let again = self.last_refused(way);
        require(
            self.next_step(way) == Some(step) || again == Some(step),
            "it is another step's turn",
        )?;
        let status = next.step(step)?;
        require(
            attempt == status.attempts_on(way) + 1,
            "attempts count up by one",
        )?;
        if let Some(count) = status.attempts.get_mut(index(way)) {
            *count = attempt;
        }
        status.in_flight = true;
        status.refused = None;
        next.in_flight = Some(InFlight { step, way, attempt });
        Ok(())
    }

    /// Going back, the step refused last: the first in place among the refused.
    fn last_refused(&self, way: Way) -> Option<u32> {
        let position = self
            .steps
            .iter()
            .position(|s| s.state == StepState::Applied && s.refused_on(Way::Back));
        match way {
            Way::Forward => None,
            Way::Back => position.and_then(|p| u32::try_from(p).ok()),
        }
    }

    /// An outcome ends the flight of its intent. Without an intent it can only
    /// say that nothing was written.
    fn settle(&self, step: u32, way: Way, wrote_nothing: bool) -> Result<(), String> {
        match self.in_flight {
            Some(flight) => {
                require(
                    matches!(self.state, Some(RunState::Applying | RunState::RollingBack)),
                    "the run is not moving",
                )?;
                require(
                    flight.step == step && flight.way == way,
                    "another step is in flight",
                )
            }
            None => {
                self.require_way(way)?;
                require(wrote_nothing, "no intent was journaled")?;
                require(
                    self.next_step(way) == Some(step),
                    "it is another step's turn",
                )
            }
        }
    }

    fn apply(
        &self,
        next: &mut Self,
        step: u32,
        way: Way,
        already_in_place: bool,
    ) -> Result<(), String> {
        self.settle(step, way, already_in_place)?;
        next.in_flight = None;
        let status = next.step(step)?;
        status.in_flight = false;
        status.refused = None;
        match way {
            Way::Forward => {
                status.state = StepState::Applied;
                status.own = !already_in_place;
            }
            Way::Back => status.state = StepState::TakenBack,
        }
        Ok(())
    }

    fn refuse(&self, next: &mut Self, step: u32, way: Way, error: &Error) -> Result<(), String> {
        self.settle(step, way, true)?;
        next.in_flight = None;
        let status = next.step(step)?;
        status.in_flight = false;
        status.refused = Some(Refusal {
            way,
            code: error.code,
            message: error.message.clone(),
        });
        // Refused on the way back, the step is still in place.
        if way == Way::Forward {
            status.state = StepState::Refused;
        }
        Ok(())
    }

    fn begin_rollback(&self, next: &mut Self, reason: &str) -> Result<(), String> {
        let allowed = match self.state {
            Some(RunState::Applying) => self.in_flight.is_none() && self.any_applied(),
            Some(RunState::Verifying) => self.verified == Some(false),
            // What is in flight in a stuck run is read back first.
            Some(RunState::Succeeded | RunState::Stuck) => true,
            _ => false,
        };
        require(allowed, "there is nothing to take back now")?;
        next.state = Some(RunState::RollingBack);
        next.back_because = Some(reason.to_owned());
        for step in &mut next.steps {
            step.refused = None;
        }
        Ok(())
    }

    fn step(&mut self, step: u32) -> Result<&mut StepStatus, String> {
        self.steps
            .get_mut(step as usize)
            .ok_or_else(|| format!("the plan has no step {step}"))
    }
}

fn require(holds: bool, why: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why.to_owned()) }
}
