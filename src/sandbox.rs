//! (to come)

pub mod pki; // throwaway certificate authority
