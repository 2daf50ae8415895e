"""What is learnt: one file an objective (`pretrain`, `retrieval`, `captioning`, `vqa`, `nlvr`, `visdial`).

What several of them share: `contrast` (ITC) with `momentum`, `matching` (ITM), pure functions in `losses`, and `gather`
for what other processes have.
"""
