//! Kinds of row numbers. A row number means nothing without the list that it counts in, and three lists are around
//! in one process: a table as it is today, the records of a run, and the records that are served. Each kind is a
//! type of its own, so that a number of one list is never taken for one of another.

macro_rules! row {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(u32);

        impl $name {
            /// The row of that number, counted from 0.
            pub fn new(number: u32) -> Self {
                Self(number)
            }

            /// Its number, counted from 0.
            pub fn number(self) -> u32 {
                self.0
            }
        }

        impl Row for $name {
            fn new(number: u32) -> Self {
                Self(number)
            }

            fn number(self) -> u32 {
                self.0
            }
        }
    };
}

/// A kind of row number.
pub trait Row: Copy {
    /// The row of that number, counted from 0.
    fn new(number: u32) -> Self;

    /// Its number, counted from 0.
    fn number(self) -> u32;
}

row! {
    /// A record's place in a table as it is read today. It is gone when the table is read again.
    TableRow
}

row! {
    /// A record's place in the list of records that all sides of a run agreed on. Plans, codes and transcripts count
    /// in it, and [`RunRecords`](crate::RunRecords) keeps which record it was.
    RunRow
}

row! {
    /// A record's place in the list of records that a coordinator serves predictions for.
    ServedRow
}
