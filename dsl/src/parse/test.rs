//! A test of the language: its lines and its steps stand in one block and become two lists.

use pest::iterators::{Pair, Pairs};

use super::build::{Builder, next};
use super::{Rule, junk};
use crate::ast::*;
use crate::span::Span;

impl Builder {
    /// Builds a test from its name and its block.
    pub(super) fn test(&mut self, mut inner: Pairs<'_, Rule>) -> Test {
        let name = self.atom(next(&mut inner));
        let block = next(&mut inner);
        let span = self.place(&block);
        let (mut lines, mut stmts) = (Vec::new(), Vec::new());
        for pair in block.into_inner() {
            let place = self.place(&pair);
            match pair.as_rule() {
                Rule::missing_close => self.missing_close(place, span),
                Rule::junk_test => {
                    let at = place.start as usize;
                    self.found.push(junk::test(self.file, pair.as_str(), at));
                }
                Rule::test_of | Rule::test_on | Rule::test_fault | Rule::test_set | Rule::test_expect => {
                    lines.push(TestLine { kind: self.test_line(pair), span: place });
                }
                _ => stmts.push(self.stmt(pair)),
            }
        }
        Test { name, lines, block: Block { stmts, span } }
    }

    fn test_line(&mut self, pair: Pair<'_, Rule>) -> TestKind {
        let rule = pair.as_rule();
        let mut inner = pair.into_inner().filter(|p| p.as_rule() != Rule::seed);
        match rule {
            Rule::test_fault => TestKind::Faults(inner.map(|p| self.place(&p)).collect()),
            Rule::test_set => TestKind::Set(inner.map(|p| self.named(p)).collect()),
            _ => {
                let first = inner.next().expect("this line of a test says something");
                match rule {
                    Rule::test_of => TestKind::Playbook(self.place(&first)),
                    Rule::test_on => {
                        TestKind::On(self.place(&first), inner.next().map(|seed| self.place(&seed)))
                    }
                    _ => TestKind::Expect(self.expect(first)),
                }
            }
        }
    }

    fn expect(&mut self, pair: Pair<'_, Rule>) -> Expect {
        let rule = pair.as_rule();
        let mut inner = pair.into_inner();
        if rule == Rule::expect_steps {
            return self.expect_steps(inner);
        }
        let first = next(&mut inner);
        match rule {
            Rule::expect_plan => Expect::Plan(self.atom(first)),
            Rule::expect_changes => Expect::Changes(self.place(&first)),
            Rule::expect_failure => Expect::Failure(self.atom(first)),
            // A code is a word, and what is said a text.
            _ => Expect::End(self.place(&first), inner.next().map(|said| self.atom(said))),
        }
    }

    fn expect_steps(&mut self, mut inner: Pairs<'_, Rule>) -> Expect {
        let mut first = next(&mut inner);
        if first.as_rule() == Rule::no_kw {
            first = next(&mut inner);
            return Expect::None(self.these(first));
        }
        let these = self.these(first);
        match inner.next() {
            None => Expect::Planned(these),
            Some(pair) if pair.as_rule() == Rule::these => Expect::Before(these, self.these(pair)),
            Some(word) => Expect::Went(these, self.place(&word)),
        }
    }

    fn these(&mut self, pair: Pair<'_, Rule>) -> These {
        let mut inner = pair.into_inner();
        let step = next(&mut inner);
        let node: Option<Span> = inner.next().map(|node| self.place(&node));
        These { step: self.step(step), node }
    }
}
