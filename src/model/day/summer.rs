//! When clocks in China were an hour ahead of UTC+8: the zone Asia/Shanghai of the IANA time zone
//! database (2025b), whose law has not changed since 1991.
//!
//! A table of our own, so that a birthday does not depend on what is installed where the gateway runs.

use jiff::Timestamp;
use jiff::tz::Offset;

/// Begin and end of each summer time, in seconds since 1970.
const SUMMERS: [(i64, i64); 14] = [
    (-1_600_675_200, -1_585_904_400), // 1919-04-13 to 09-30
    (-933_667_200, -922_093_200),     // 1940-06-01 to 10-12
    (-908_870_400, -888_829_200),     // 1941-03-15 to 11-01
    (-881_049_600, -767_869_200),     // 1942-01-31 to 1945-09-01
    (-745_833_600, -733_827_600),     // 1946-05-15 to 09-30
    (-716_889_600, -699_613_200),     // 1947-04-15 to 10-31
    (-683_884_800, -670_669_200),     // 1948-05-01 to 09-30
    (-652_348_800, -650_019_600),     // 1949-05-01 to 05-27
    (515_527_200, 527_014_800),       // 1986-05-04 to 09-14
    (545_162_400, 558_464_400),       // 1987-04-12 to 09-13
    (577_216_800, 589_914_000),       // 1988-04-17 to 09-11
    (608_666_400, 621_968_400),       // 1989-04-16 to 09-17
    (640_116_000, 653_418_000),       // 1990-04-15 to 09-16
    (671_565_600, 684_867_600),       // 1991-04-14 to 09-15
];

/// How far clocks in China were ahead of UTC at an instant (from 1901 on).
pub(super) fn offset(at: Timestamp) -> Offset {
    let second = at.as_second();
    let summer = SUMMERS
        .iter()
        .any(|(begin, end)| (*begin..*end).contains(&second));
    Offset::constant(if summer { 9 } else { 8 })
}
