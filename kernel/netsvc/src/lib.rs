//! netsvc
