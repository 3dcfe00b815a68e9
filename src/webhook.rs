//! Delivery of ticket webhooks: the outbox `ticket_webhook_queue` to each tenant's Make webhook.
//!
//! One transaction claims, the POST happens with no transaction open, another statement records the outcome and
//! follows the ticket's chain. Knows nothing of HTTP servers: routes, the command line and the built-in
//! dispatcher drive it alike.

pub mod backoff;
mod delivery;
pub mod dispatch;
mod flight;
mod housekeeping;
pub mod payload;
mod queue;
mod recorder;
pub mod signature;
mod verdict;
mod wake;
mod worker;

pub use dispatch::Dispatcher;
