//! Moves what holds places to where its text has gone. Every field is named here: the compiler misses one
//! that is new.

mod tree;

use crate::span::{FileId, Span};

/// Where a text has gone.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    /// All of it, by so many bytes, into a text of this name.
    Whole { file: FileId, by: i64 },
    /// In one text, what begins at a byte or behind it, by so many bytes.
    Behind { file: FileId, from: u32, by: i64 },
}

/// What holds places.
pub(crate) trait Shift {
    /// Moves all of them.
    fn shift(&mut self, way: Way);
}

impl Shift for Span {
    fn shift(&mut self, way: Way) {
        match way {
            Way::Whole { file, .. } => self.file = file,
            Way::Behind { file, from, .. } if self.file != file || self.start < from => return,
            Way::Behind { .. } => {}
        }
        self.start.shift(way);
        self.end.shift(way);
    }
}

impl Shift for u32 {
    fn shift(&mut self, way: Way) {
        let by = match way {
            Way::Whole { by, .. } => by,
            Way::Behind { from, by, .. } if *self >= from => by,
            Way::Behind { .. } => 0,
        };
        *self = (i64::from(*self) + by) as u32;
    }
}

impl Shift for bool {
    fn shift(&mut self, _: Way) {}
}

impl<T: Shift> Shift for Box<T> {
    fn shift(&mut self, way: Way) {
        (**self).shift(way);
    }
}

impl<T: Shift> Shift for Option<T> {
    fn shift(&mut self, way: Way) {
        if let Some(it) = self {
            it.shift(way);
        }
    }
}

impl<T: Shift> Shift for [T] {
    fn shift(&mut self, way: Way) {
        for it in self {
            it.shift(way);
        }
    }
}

impl<T: Shift> Shift for Vec<T> {
    fn shift(&mut self, way: Way) {
        self.as_mut_slice().shift(way);
    }
}

impl<A: Shift, B: Shift> Shift for (A, B) {
    fn shift(&mut self, way: Way) {
        self.0.shift(way);
        self.1.shift(way);
    }
}

/// Moves the fields of a struct, all of them but those that hold no place: `still` names these.
macro_rules! fields {
    ($($name:ident { $($field:ident),* $(; still $($still:ident),*)? })*) => { $(
        impl Shift for $name {
            fn shift(&mut self, way: Way) {
                let $name { $($field,)* $($($still: _),*)? } = self;
                $($field.shift(way);)*
            }
        }
    )* };
}
pub(crate) use fields;
