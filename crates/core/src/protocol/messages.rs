//! Enums of messages, with the name of each kind.

/// Declares an enum of messages and its `kind()`: the name that `docs/reference/wire.md` has for each. That is the
/// variant's own name, or for a variant that wraps messages, after `of`, the name of the wrapped one (the variant's last
/// field).
macro_rules! messages {
    ($(#[$meta:meta])* pub enum $name:ident {
        $($(#[$doc:meta])* $variant:ident $({ $($field:tt)* })? $(( $($inside:tt)* ))? $(of $wrapped:ident)?,)*
    }) => {
        $(#[$meta])*
        pub enum $name {
            $($(#[$doc])* $variant $({ $($field)* })? $(( $($inside)* ))?,)*
        }

        impl $name {
            /// The kind of message, for errors and logs.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(messages!(@pattern $variant $($wrapped)?) => messages!(@kind $variant $(of $wrapped)?),)*
                }
            }
        }
    };
    (@pattern $variant:ident) => { Self::$variant { .. } };
    (@pattern $variant:ident $wrapped:ident) => { Self::$variant(.., $wrapped) };
    (@kind $variant:ident) => { stringify!($variant) };
    (@kind $variant:ident of $wrapped:ident) => { $wrapped.kind() };
}
