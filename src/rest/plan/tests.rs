//! Requests against a small schema cache, both made here in code.

mod asked;
mod calls;
mod embeds;
mod fixture;
mod media;
mod reads;
mod spreads;
mod writes;
