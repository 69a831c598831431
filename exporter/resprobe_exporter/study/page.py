"""tmp"""
def render(plan, evidence, answers, drawings):
    return "x"
