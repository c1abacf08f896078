//! The memory that the system reports for this process, which runs nothing else.

use std::io::Result;

use vidtok_benches::memory::{forget_peak, held, peak};

#[test]
fn a_peak_stays_until_it_is_forgotten() -> Result<()> {
    let before = held()?;
    let block = vec![1_u8; 64 << 20];
    assert!(std::hint::black_box(&block).iter().all(|&byte| byte == 1));
    drop(block);
    assert!(peak()? > before + 60.0);
    forget_peak()?;
    assert!(peak()? < before + 30.0);
    Ok(())
}
