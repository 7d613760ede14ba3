//! Rare corners of the contract, each with its outcome worked out by hand.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use tocsin_oracle::scenario::{Scenario, Schedule, run};

fn holds(text: &str) {
    let scenario = Scenario::parse(&format!("题目 x\n缘由 y\n{text}")).unwrap();
    for schedule in Schedule::ALL {
        run(&scenario, schedule).unwrap_or_else(|e| panic!("{e}"));
    }
}

#[test]
fn of_two_gone_numbers_the_one_that_was_told_comes_back() {
    holds(
        "2025-05-10 09:00
            登记 甲
            报告 人社#1 甲 张三 2025-01-01
          → 告知 不告知 A 因:过久
        2025-05-11 09:00
            报告 人社#2 甲 李四 2025-05-09
          → 告知 新报 B 业主:甲(本年2起) 次:1
          → 预警 启动 甲 蓝 2起 乡镇:330784001
        2025-05-12 09:00
            报告 人社#1 版本:2 甲 张三 2025-01-01 撤回
            报告 人社#2 版本:2 甲 李四 2025-05-09 撤回
          → 告知 更正 B 业主:甲(本年0起) 因:撤回 次:2
          → 预警 解除 甲 0起 乡镇:330784001 因:更正
          = 事故 A 已消
          = 事故 B 已消
        2025-05-13 09:00
            报告 人社#1 版本:3 甲 张三 2025-05-09 编号:N1
            报告 人社#2 版本:3 甲 李四 2025-05-09 编号:N1
          → 告知 新报 B 业主:甲(本年1起) 2人 次:3
          = 事故 A 已消",
    );
}

#[test]
fn in_a_merge_the_number_told_to_the_present_employer_beats_an_older_one() {
    holds(
        "2025-03-01 09:00
            登记 甲
            登记 乙
            报告 人社#1 甲 张三 2025-03-01
          → 告知 新报 A 业主:甲(本年1起)
        2025-03-02 09:00
            报告 人社#2 乙 李四 2025-03-01 编号:N1
          → 告知 新报 B 业主:乙(本年1起)
        2025-03-03 09:00
            报告 人社#1 版本:2 乙 张三 2025-03-01 编号:N1
          → 告知 更正 A 业主:甲(本年0起) 0人 单位:甲 因:并案
          = 事故 B 计入 乙 2人
          = 事故 A 已消",
    );
}

#[test]
fn a_report_that_returns_while_its_incident_lives_does_not_claim_it() {
    holds(
        "2025-03-01 09:00
            登记 甲
            报告 人社#1 甲 张三 2025-03-01
            报告 应急#1 甲 张三 2025-03-01
          → 告知 新报 A 业主:甲(本年1起)
        2025-03-02 09:00
            报告 人社#1 版本:2 甲 张三 2025-03-01 撤回
          → 无
          = 事故 A 计入 甲 1人 报告:应急#1
        2025-03-03 09:00
            报告 人社#1 版本:3 甲 张三 2025-02-01
          → 告知 新报 B 业主:甲(本年2起) 次:1 报告:人社#1
          → 预警 启动 甲 蓝 2起 事故:A,B 乡镇:330784001
          = 事故 A 计入 甲 1人 报告:应急#1",
    );
}

#[test]
fn everything_moves_at_once_and_one_reason_is_given() {
    // Employer and host change in one version, to an enterprise that is not registered: unmatched.
    holds(
        "2025-03-01 09:00
            登记 甲
            登记 丙
            报告 人社#1 甲 张三 2025-03-01 用工:乙
          → 告知 新报 A 业主:甲(本年1起) 业主:乙(本年1起)
        2025-03-02 09:00
            报告 人社#1 版本:2 丁 张三 2025-03-01 用工:丙
          → 告知 更正 A 业主:甲(本年0起) 业主:乙(本年0起) 单位:甲 因:待核
        2025-03-03 09:00
            登记 丁
          → 告知 新报 A 业主:丙(本年1起) 业主:丁(本年1起) 单位:丁 次:3
        2025-03-04 09:00
            报告 人社#1 版本:3 丙 张三 2025-03-01 用工:乙
          → 告知 更正 A 业主:丁(本年0起) 单位:丁 因:改单位 次:4
          → 告知 新报 A 业主:乙(本年1起) 单位:丙 次:5",
    );
}

#[test]
fn a_chain_of_successors_is_read_to_its_end_and_a_loop_is_ignored() {
    holds(
        "2025-03-10 09:00
            登记 甲
            登记 乙 承继:甲
            登记 丙 承继:乙 地区:330784002
            报告 人社#1 甲 张三 2025-03-01
            报告 人社#2 乙 李四 2025-03-02
          → 告知 新报 A 业主:甲(本年1起) 报告:人社#1
          → 告知 新报 B 业主:乙(本年1起) 报告:人社#2
          → 预警 启动 丙 蓝 2起 事故:A,B 乡镇:330784002
          = 率 丙 365d 2起 2人 无参保 无
        2025-03-11 09:00
            登记 甲 版本:2 承继:丙
          ? 循环 甲,乙,丙
          → 预警 解除 丙 0起 乡镇:330784002 因:更正
          = 率 甲 365d 1起 1人 无参保 无
          = 率 乙 365d 1起 1人 无参保 无",
    );
}

#[test]
fn of_competing_successors_the_latest_then_the_smallest_code_wins() {
    holds(
        "2025-03-10 09:00
            登记 甲
            登记 丙 自:2025-02-01 承继:甲
            登记 乙 自:2025-01-01 承继:甲
            报告 人社#1 甲 张三 2025-03-01
          → 告知 新报 A 业主:甲(本年1起)
          = 率 丙 365d 1起 1人 无参保 无
        2025-03-11 09:00
            登记 乙 版本:2 自:2025-02-01 承继:甲
          → 无
          = 率 乙 365d 1起 1人 无参保 无",
    );
}

#[test]
fn what_expires_anyway_is_not_the_policys_doing() {
    holds(
        "政策 2020-11-20
        政策 2026-03-01 蓝:3 黄:4 橙:5 红:6
        2025-03-05 09:00
            登记 甲
            报告 人社#1 甲 张三 2025-03-01
            报告 人社#2 甲 李四 2025-03-05
          → 告知 新报 A 业主:甲 报告:人社#1
          → 告知 新报 B 业主:甲 报告:人社#2
          → 预警 启动 甲 蓝 2起 乡镇:330784001
        2026-03-01 零点
          → 预警 解除 甲 1起 事故:B 因:到期",
    );
}

#[test]
fn where_severe_is_not_red_a_death_alone_warns_nobody() {
    holds(
        "政策 2020-11-20 重伤即红:否 重伤误工:50 重伤等级:4
        2025-03-05 09:00
            登记 甲
            登记 乙
            报告 人社#1 甲 张三 2025-03-01 死亡
            报告 人社#2 乙 李四 2025-03-01 误工:50
            报告 人社#3 乙 王五 2025-03-02 伤残:5
          → 告知 新报 A 业主:甲 死亡
          → 告知 新报 B 业主:乙 重伤
          → 告知 新报 C 业主:乙 轻伤
          → 预警 启动 乙 蓝 2起 乡镇:330784001",
    );
}

#[test]
fn an_accident_of_tomorrow_counts_from_tomorrows_midnight() {
    holds(
        "2025-03-01 09:00
            登记 甲
            报告 人社#1 甲 张三 2025-03-02
            报告 人社#2 甲 李四 2025-03-01
          → 告知 新报 A 业主:甲(本年2起) 报告:人社#1        // 到三月二日为止，连同本起
          → 告知 新报 B 业主:甲(本年1起) 报告:人社#2
        2025-03-02 零点
          → 预警 启动 甲 蓝 2起 事故:A,B 乡镇:330784001",
    );
}

#[test]
fn what_arrived_before_the_clock_is_decided_at_the_clock() {
    holds(
        "2025-06-05 09:00
            登记 甲
          → 无
        2025-03-10 09:00
            报告 人社#1 甲 张三 2025-03-01
          → 告知 新报 A 业主:甲(本年1起)
          = 率 甲 month 0起 0人 无参保 无
          = 率 甲 90d 0起 0人 无参保 无
          = 率 甲 365d 1起 1人 无参保 无",
    );
}

#[test]
fn a_hospitals_early_word_does_not_make_hr_late() {
    // The first *counting* arrival is HR's, 101 days after; the hospital's on the first day does not help.
    holds(
        "2025-03-01 09:00
            登记 甲
            报告 医院#1 甲 张三 2025-03-01
          → 无
        2025-06-10 09:00
            报告 人社#1 甲 张三 2025-03-01
          → 告知 不告知 A 因:过久",
    );
}

#[test]
fn a_refused_first_version_does_not_start_the_ninety_days() {
    holds(
        "2025-03-01 09:00
            登记 甲
            报告 人社#1 甲 张三 2025-03-01 不予受理
          → 无
        2025-06-10 09:00
            报告 人社#1 版本:2 甲 张三 2025-03-01 认定
          → 告知 不告知 A 因:过久",
    );
}
