//! When a deposited message is tried again, what is bounced, what a person sees of the queue.
