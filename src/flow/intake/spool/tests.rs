//! Bodies on both sides of the memory limit, gzip as it comes, and what a share bounds.

use super::*;
use crate::config::Receive;
use crate::flow::shares::Shares;

const LIMITS: SpoolLimits = SpoolLimits {
    memory_bytes: 10,
    body_bytes: 100,
    decompressed_bytes: 200,
    ratio: 1_000,
};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn share() -> Share {
    Shares::new(&Receive {
        spool_free_bytes_min: 0,
        ..Receive::default()
    })
    .of("one")
}

async fn spool(bytes: &[u8], zipped: bool) -> Result<ReceivedBody, SpoolError> {
    spool_with(LIMITS, &share(), bytes, zipped).await
}

async fn spool_with(
    limits: SpoolLimits,
    share: &Share,
    bytes: &[u8],
    zipped: bool,
) -> Result<ReceivedBody, SpoolError> {
    let mut spool = Spool::new(limits, zipped, share.clone());
    for chunk in bytes.chunks(7) {
        spool.write(Bytes::copy_from_slice(chunk)).await?;
    }
    spool.finish().await
}

fn read(body: &ReceivedBody) -> Vec<u8> {
    let mut bytes = Vec::new();
    body.reader().read_to_end(&mut bytes).expect("readable");
    bytes
}

#[tokio::test]
async fn a_body_is_read_back_as_it_came_on_both_sides_of_the_memory_limit() {
    for length in [0, 10, 11, 100] {
        let bytes = vec![7; length];
        let body = spool(&bytes, false).await.expect("within the limits");
        assert_eq!(read(&body), bytes);
        assert_eq!(read(&body), bytes, "a second time");
        assert_eq!(body.in_memory(), length <= 10);
    }
}

#[tokio::test]
async fn a_body_is_the_same_with_and_without_gzip() {
    let bytes = vec![9; 150];
    let body = spool(&gzip(&bytes), true).await.expect("within the limits");
    assert_eq!(read(&body), bytes);
    assert_eq!(body.digest, <[u8; 32]>::from(Sha256::digest(&bytes)));
}

#[tokio::test]
async fn a_gzip_body_may_have_several_members_and_zeros_behind_them() {
    let (one, two, empty, zeros) = (
        gzip(b"first half, "),
        gzip(b"second half"),
        gzip(b""),
        vec![0; 20],
    );
    let digest = |bytes: &[u8]| <[u8; 32]>::from(Sha256::digest(bytes));
    for (parts, expected) in [
        (vec![&one, &two], &b"first half, second half"[..]),
        (vec![&one, &empty], b"first half, "),
        (vec![&empty, &one], b"first half, "),
        (vec![&one, &zeros], b"first half, "),
        (vec![&one, &two, &zeros], b"first half, second half"),
    ] {
        let whole: Vec<u8> = parts.into_iter().flatten().copied().collect();
        for size in [1, 7, 100] {
            let mut spool = Spool::new(LIMITS, true, share());
            for chunk in whole.chunks(size) {
                spool
                    .write(Bytes::copy_from_slice(chunk))
                    .await
                    .expect("gzip");
            }
            let body = spool.finish().await.expect("whole");
            assert_eq!(
                (read(&body).as_slice(), body.digest),
                (expected, digest(expected))
            );
        }
    }
}

#[tokio::test]
async fn what_follows_gzip_data_and_is_none_is_not_passed_over() {
    let one = gzip(b"the first member");
    let with = async |more: &[u8]| spool(&[one.as_slice(), more].concat(), true).await;
    assert!(matches!(
        with(b"rubbish of some length").await,
        Err(SpoolError::Trailing)
    ));
    assert!(matches!(
        with(&[0, 0, 0, 7]).await,
        Err(SpoolError::Trailing)
    ));
    assert!(
        matches!(with(&one[..one.len() - 3]).await, Err(SpoolError::Gzip(_))),
        "a second member that is cut"
    );
    let mut broken = gzip(b"another");
    let check = broken.len() - 6;
    broken[check] ^= 1;
    assert!(
        matches!(with(&broken).await, Err(SpoolError::Gzip(_))),
        "a second member with a wrong check sum"
    );
    assert!(matches!(spool(b"", true).await, Err(SpoolError::Gzip(_))));
    assert!(
        matches!(spool(&[0; 20], true).await, Err(SpoolError::Gzip(_))),
        "nothing but zeros"
    );
}

#[tokio::test]
async fn one_byte_over_a_limit_is_refused() {
    assert!(matches!(
        spool(&[1; 101], false).await,
        Err(SpoolError::TooLarge(100))
    ));
    assert!(spool(&gzip(&[1; 200]), true).await.is_ok());
    assert!(matches!(
        spool(&gzip(&[1; 201]), true).await,
        Err(SpoolError::Bomb(200))
    ));
}

#[tokio::test]
async fn a_body_that_is_not_gzip_or_ends_early_is_refused() {
    assert!(matches!(
        spool(b"not gzip at all", true).await,
        Err(SpoolError::Gzip(_))
    ));
    let whole = gzip(b"some text that is long enough");
    assert!(matches!(
        spool(&whole[..whole.len() - 9], true).await,
        Err(SpoolError::Gzip(_))
    ));
}

#[tokio::test]
async fn a_bomb_is_refused_as_soon_as_it_leaves_memory() {
    let limits = SpoolLimits {
        memory_bytes: 1 << 20,
        body_bytes: 1 << 30,
        decompressed_bytes: 1 << 30,
        ratio: 200,
    };
    let share = share();
    let bomb = gzip(&vec![b' '; 50 << 20]);
    assert!(matches!(
        spool_with(limits, &share, &bomb, true).await,
        Err(SpoolError::Ratio(200))
    ));
    assert!(
        spool_with(limits, &share, &gzip(&vec![b' '; 1 << 20]), true)
            .await
            .is_ok(),
        "small, it may be as dense as it likes"
    );
    assert_eq!((share.of.memory.used(), share.of.disk.used()), (0, 0));
}

#[tokio::test]
async fn what_a_body_takes_is_given_back_with_its_last_reader_and_when_it_is_refused() {
    let share = share();
    let limits = SpoolLimits {
        memory_bytes: 100,
        body_bytes: 1_000,
        decompressed_bytes: 1_000,
        ratio: 200,
    };
    let small = spool_with(limits, &share, &[1; 100], false)
        .await
        .expect("a body");
    let large = spool_with(limits, &share, &[1; 101], false)
        .await
        .expect("a body");
    assert_eq!(
        (share.of.memory.used(), share.of.disk.used() > 100),
        (100, true)
    );
    let readers = (small.clone().reader(), large.reader());
    drop((small, large));
    assert_eq!(
        (share.of.memory.used(), share.of.disk.used() > 100),
        (100, true),
        "they are still read"
    );
    drop(readers);
    assert!(
        spool_with(limits, &share, &[1; 1_001], false)
            .await
            .is_err()
    );
    assert_eq!((share.of.memory.used(), share.of.disk.used()), (0, 0));
}

#[tokio::test]
async fn a_body_that_finds_no_memory_waits_on_the_disk_and_one_that_finds_no_disk_is_not_taken() {
    let dir = tempfile::tempdir().expect("a folder");
    let receive = Receive {
        held_bytes_per_partner_max: 150,
        spool_dir: Some(dir.path().into()),
        spool_free_bytes_min: 0,
        ..Receive::default()
    };
    let shares = Shares::new(&receive);
    let limits = SpoolLimits {
        memory_bytes: 100,
        body_bytes: 1_000,
        decompressed_bytes: 1_000,
        ratio: 200,
    };
    let first = spool_with(limits, &shares.of("one"), &[1; 100], false)
        .await
        .expect("a body");
    let second = spool_with(limits, &shares.of("one"), &[1; 100], false)
        .await
        .expect("a body");
    assert_eq!((first.in_memory(), second.in_memory()), (true, false));
    drop((first, second, dir));
    assert!(
        spool_with(limits, &shares.of("one"), &[1; 100], false)
            .await
            .is_ok(),
        "memory is enough"
    );
    assert!(matches!(
        spool_with(limits, &shares.of("one"), &[1; 101], false).await,
        Err(SpoolError::File(NoRoom::Unwritable { .. }))
    ));
    assert_eq!((shares.memory.used(), shares.disk.used()), (0, 0));
}
