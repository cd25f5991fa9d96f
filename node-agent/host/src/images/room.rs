//! How much of the disk is still for images.
//!
//! Knows: the disk's free space. Refuses to know: what is written there.

use std::io;

use super::{ImageError, ImageStore, Limits};

/// One part in so many of the disk is left free by images: other things on it must still be able to write.
const SPARE: u64 = 20;

/// What is left free of a large disk, in bytes: nobody who writes a log or a database needs a twentieth of a terabyte.
const SPARE_AT_MOST: u64 = 2 << 30;

impl ImageStore {
    /// What may still be written where the images are: no more than is allowed anywhere, and not the last of the disk.
    pub(super) fn room(&self) -> io::Result<Limits> {
        let disk = rustix::fs::statvfs(&self.root)?;
        // As df counts: what is kept for root is neither used nor there to be used.
        let used = disk.f_blocks.saturating_sub(disk.f_bfree);
        let bytes = ((used + disk.f_bavail) * disk.f_frsize, disk.f_bavail * disk.f_frsize);
        Ok(within(self.limits, bytes, (disk.f_files, disk.f_favail)))
    }

    /// Whether so many bytes more may be written.
    pub(super) fn fits(&self, digest: &str, bytes: u64) -> Result<(), ImageError> {
        let room = self.room()?.bytes;
        if bytes <= room {
            return Ok(());
        }
        let mega = |bytes: u64| bytes as f64 / 1e6;
        Err(ImageError::Invalid(format!(
            "layer {digest} takes {:.1} MB and there is room for {:.1} MB: free some space on the disk of {}",
            mega(bytes),
            mega(room),
            self.root.display()
        )))
    }
}

/// The limits of a disk with so many bytes and files in all and free, if they are closer.
fn within(limits: Limits, bytes: (u64, u64), files: (u64, u64)) -> Limits {
    let spare = |all: u64| all / SPARE;
    // Some file systems do not count their files.
    let entries = if files.0 == 0 { u64::MAX } else { files.1.saturating_sub(spare(files.0)) };
    Limits {
        bytes: limits.bytes.min(bytes.1.saturating_sub(spare(bytes.0).min(SPARE_AT_MOST))),
        entries: limits.entries.min(entries),
        depth: limits.depth,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red when only fixed limits hold: a layer fills the disk before it is refused.
    #[test]
    fn the_last_of_a_disk_is_not_for_images() {
        let limits = Limits { bytes: 1000, entries: 100, depth: 7 };
        let of = |bytes, files| {
            let Limits { bytes, entries, depth } = within(limits, bytes, files);
            (bytes, entries, depth)
        };
        assert_eq!(of((100_000, 50_000), (100_000, 50_000)), (1000, 100, 7));
        assert_eq!(of((10_000, 800), (1000, 60)), (300, 10, 7));
        assert_eq!(of((10_000, 400), (1000, 50)), (0, 0, 7));
        assert_eq!(of((10_000, 800), (0, 0)), (300, 100, 7));
        // A twentieth of a large disk is more than anybody needs.
        assert_eq!(of((1 << 40, 3 << 30), (1000, 60)), (1000, 10, 7));
        assert_eq!(of((1 << 40, (2 << 30) + 7), (1000, 60)), (7, 10, 7));
    }
}
