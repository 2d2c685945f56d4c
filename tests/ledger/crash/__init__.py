"""What the durability tests share: a disk that remembers what was synced, the states a crash can leave, and a judge.

Reading order: ``disk`` (records what SQLite does to its files, and fails on request), ``states`` (what a power cut may
leave of it), ``workload`` (a sequencer at work, and what it promised), ``judge`` (does a reopened log keep the
promises?), ``lives`` (a real process that is killed, or loses power, at a random moment).
"""
