"""Fifty articles, the same ones each time: ten subjects, five articles each, some of research, some premium."""

from models.content.articles import ArticleRow
from tests.models.content.desk import shown

# A subject: its tag, and of each article the title and what only it says.
SUBJECTS: dict[str, list[tuple[str, str]]] = {
    "diffusion": [
        ("Diffusion models explained", "A diffusion model removes noise from a picture, step by step, until only the picture remains."),
        ("Faster sampling with distillation", "Distilled diffusion samplers need four steps where others need fifty."),
        ("Why latent spaces matter", "Working on latents instead of pixels makes image generation eight times cheaper."),
        ("Noise schedules compared", "A cosine schedule wastes fewer steps of the sampler than a linear schedule does."),
        ("Inpainting without seams", "Masks are blurred at the edge, so that the painted region meets the photograph without a seam."),
    ],
    "regulation": [
        ("The European AI Act enters into force", "Providers of general purpose models must publish a summary of their training data."),
        ("What the transparency duties ask for", "Generated pictures must be labelled; the label is read by machines."),
        ("Copyright and training data", "Courts disagree whether training on copyrighted works is fair use."),
        ("Fines and who pays them", "A fine reaches seven percent of the turnover of a company."),
        ("Sandboxes for regulators", "A regulatory sandbox lets a company test under supervision before it sells."),
    ],
    "speech": [
        ("Speech synthesis with a cloned voice", "Ten seconds of speech are enough to clone a voice, and consent is asked for aloud."),
        ("Reading aloud for the blind", "A screen reader with a natural voice tires its listeners less."),
        ("Dubbing films overnight", "Lips are moved to fit the dubbed speech of another language."),
        ("Detecting cloned voices", "A watermark in the spectrum survives a telephone line."),
        ("Phonemes and stress", "Stress marks decide how a homograph is pronounced."),
    ],
    "education": [
        ("Teachers and chatbots", "Homework that a chatbot can do teaches nobody; oral exams come back."),
        ("Literacy for everybody", "AI literacy means knowing when not to trust an answer."),
        ("A tutor for each pupil", "The tutor asks questions instead of giving answers."),
        ("Grading essays by machine", "Machines grade long essays too well and short essays too badly."),
        ("Libraries as classrooms", "Libraries lend laptops with models that run offline."),
    ],
    "agents": [
        ("Agents that use tools", "An agent calls a calculator rather than guess at sums."),
        ("Planning before acting", "Writing the plan down first halves the number of wrong turns."),
        ("Memory for agents", "Old conversations are summarised and searched when they are needed."),
        ("When agents loop", "A budget of steps ends an agent that repeats itself."),
        ("Browsing the web safely", "A page that an agent reads may hold instructions: prompt injection."),
    ],
    "hardware": [
        ("Chips for inference", "Memory bandwidth, not arithmetic, limits how fast tokens come."),
        ("Quantisation to four bits", "Four bits per weight are enough if outliers keep sixteen."),
        ("Models on the telephone", "A small model on the telephone answers without a network."),
        ("Cooling the data centre", "Warm water from the racks heats a swimming pool."),
        ("Renting by the second", "Spot prices of accelerators fall at night."),
    ],
    "medicine": [
        ("Reading X-rays", "A second reader that never tires finds more fractures in X-rays."),
        ("Letters for patients", "Doctors' letters are rewritten in plain words."),
        ("Proteins by prediction", "Folding a protein takes minutes where it took a thesis."),
        ("Triage by telephone", "The triage model sends too many callers to the hospital."),
        ("Consent and records", "Patients may withdraw consent to training on their records."),
    ],
    "video": [
        ("Video from a sentence", "Five seconds of video from one sentence cost as much as fifty pictures."),
        ("Keeping a face the same", "Identity drifts between frames unless a reference is kept."),
        ("Cameras that never were", "Camera paths are written as text: dolly, pan, crane."),
        ("Upscaling old films", "Grain is removed, the film upscaled, and grain put back."),
        ("Storyboards in an hour", "Directors sketch a storyboard with generated frames."),
    ],
    "language": [
        ("Translation for small languages", "Back translation makes data for languages with few speakers."),
        ("Summaries that do not invent", "Each sentence of a summary is checked against its source."),
        ("Prompting in Indonesian", "Models answer better in Indonesian when examples are Indonesian too."),
        ("Tokenisers and their price", "A tokeniser that splits words of some scripts makes them dearer."),
        ("Measuring hallucination", "Asking twice and comparing finds half of all hallucinations."),
    ],
    "business": [
        ("Pricing generated images", "Credits hide what an image costs, and buyers like it."),
        ("Support answered at night", "A shop answers its customers at night with a model and by day with people."),
        ("Contracts read by machine", "Clauses that deviate from the template are marked for a lawyer."),
        ("Adverts in a thousand variants", "A thousand variants of one advert are tested in a day."),
        ("Small shops, big pictures", "A corner shop photographs its goods before generated backgrounds."),
    ],
}  # fmt: skip


def plant() -> dict[str, ArticleRow]:
    """All of them, published; every fifth is premium, every third subject research."""
    made = {}
    for number, (tag, articles) in enumerate(SUBJECTS.items()):
        section = (
            {"section": "research", "kind": None}
            if number % 3 == 2
            else {"kind": "regulation" if tag == "regulation" else "tool"}
        )
        for at, (title, words) in enumerate(articles):
            body = f"{words}\n\nThis article is one of five about {tag}, and says no more than it must."
            made[title] = shown(title, body, tags=[tag], premium=at == 4, **section)
    return made
