package judgments
