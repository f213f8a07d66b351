//! Placeholder: in the making.
