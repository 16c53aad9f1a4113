//! Which of the driver's XID errors mean that a GPU must take no more work.
//!
//! Chosen by the resolution that NVIDIA's XID catalog gives (docs.nvidia.com/deploy/xid-errors): those
//! for which it asks to reset the GPU, to reboot or to call service. Errors that an application makes
//! for itself end that application and leave the GPU usable (13, 31, 43, 45, 68, 69, 109), and so does
//! a contained ECC error (94), after which only the application needs a restart. 63 and 92 announce
//! memory that will be repaired at the next reset; nothing is broken yet.

/// XIDs after which a GPU is lost to us, with what they mean.
const FATAL: &[(u64, &str)] = &[
    (46, "the GPU stopped processing"),
    (48, "double-bit ECC error"),
    (62, "internal micro-controller halt"),
    (64, "row remapping or page retirement failed"),
    (74, "NVLink error"),
    (79, "the GPU has fallen off the bus"),
    (95, "uncontained ECC error"),
    (110, "security fault"),
    (119, "the GPU's system processor timed out"),
    (120, "the GPU's system processor failed"),
    (140, "unrecovered ECC error"),
    (143, "the GPU could not be initialised"),
];

/// What a fatal XID means; `None` for one that is not fatal.
pub(crate) fn fatal(xid: u64) -> Option<&'static str> {
    FATAL.iter().find(|(number, _)| *number == xid).map(|(_, meaning)| *meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_error_takes_no_gpu_out_of_service() {
        for xid in [13, 31, 43, 45, 94] {
            assert_eq!(fatal(xid), None, "{xid}");
        }
        assert_eq!(fatal(79), Some("the GPU has fallen off the bus"));
    }
}
