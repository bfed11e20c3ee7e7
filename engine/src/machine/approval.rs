//! What somebody must say yes to: the question is asked when all that stands before it is done, the rest
//! of the run goes on meanwhile, and nothing behind it begins before the answer.

use super::decide::Then;
use super::state::each_of;
use super::{Machine, Mode};
use crate::event::Event;
use crate::plan::{Gate, ScopeId, ScopeKind, Vertex};

impl Machine {
    /// Returns whether this waits for somebody's yes, and asks for it.
    pub(super) fn must_wait(&mut self, now: u64, gate: Gate) -> bool {
        !self.late_gates.contains(&gate) && self.asks(now, gate)
    }

    /// Returns whether what a `when` has let begin waits for the yes to a question of a scope around it.
    pub(super) fn must_wait_late(&mut self, now: u64, when: ScopeId) -> bool {
        let late = self.late.get(&when).cloned().unwrap_or_default();
        let mut waits = false;
        for gate in late {
            waits |= self.asks(now, gate);
        }
        if waits {
            self.held.push(Vertex::Open(when));
        }
        waits
    }

    fn asks(&mut self, now: u64, gate: Gate) -> bool {
        if self.state.is_approved(gate) {
            return false;
        }
        let Some(question) = self.questions.get(&gate) else { return false };
        if !self.state.asked().contains(&gate) {
            let question = question.clone();
            self.emit(now, Event::ApprovalAsked { gate, question });
        }
        true
    }

    /// Takes an answer. What was not asked has none.
    pub(super) fn answer(
        &mut self,
        now: u64,
        gate: Gate,
        yes: bool,
        (by, when, why): (String, String, String),
    ) {
        if !self.state.asked().contains(&gate) {
            return;
        }
        let goes = self.active && self.state.mode() == Mode::Going;
        if !yes {
            let story = format!("{by} said no to: {}", self.question(gate));
            self.emit(now, Event::ApprovalRefused { gate, by: by.clone(), when });
            if goes {
                self.stop(now, by, why, Then::Pause(story));
            }
            return;
        }
        self.emit(now, Event::ApprovalGiven { gate, by, when, why });
        if !goes {
            return;
        }
        if self.late_gates.contains(&gate) {
            self.ready.extend(self.held.drain(..));
            return;
        }
        self.begin_behind(now, gate);
    }

    /// Lets what has waited at a gate try again.
    pub(super) fn begin_behind(&mut self, now: u64, gate: Gate) {
        match gate {
            Gate::Step(id) => self.ready.push_back(Vertex::Step(id)),
            Gate::Scope(id) => match (&self.plan.scope(id).kind, each_of(&self.plan, id)) {
                (ScopeKind::Each(_), _) => self.admit(now, id),
                (_, Some(each)) => self.admit(now, each),
                (_, None) => self.ready.push_back(Vertex::Open(id)),
            },
        }
    }

    /// Returns whether somebody is waited for who could answer now.
    pub(super) fn awaits_an_answer(&self) -> bool {
        self.attended && !self.state.asked().is_empty()
    }

    /// Says what nobody has answered, when nothing else is left to do.
    pub(super) fn unanswered(&self) -> Option<String> {
        let asked: Vec<&str> = self.state.asked().iter().map(|gate| self.question(*gate)).collect();
        (!asked.is_empty()).then(|| format!("somebody must approve: {}", asked.join("; ")))
    }

    fn question(&self, gate: Gate) -> &str {
        self.questions.get(&gate).map_or("", String::as_str)
    }
}
