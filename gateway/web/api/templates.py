"""Templates over HTTP: which the tenant uses, what they say in each language, how a mail of one looks.

The functions of the settings pages (`settings.templates`): a text is tried with every sample before it is kept, and
what a tenant wrote only runs in a worker.
"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from gateway.outbound.template_list import list_templates
from gateway.outbound.texts import templates
from gateway.settings import templates as texts
from gateway.web.api import listed, template_shapes
from gateway.web.api.asked import AskedTexts
from gateway.web.api.bodies import JSON, read_json
from gateway.web.api.callers import ApiError, Caller, api_of, need
from gateway.web.api.routing import PROBLEMS, takes
from gateway.web.api.shapes import answer

router = APIRouter(tags=["templates"], responses=PROBLEMS)
Reading = Annotated[Caller, Depends(need("templates:read"))]
Writing = Annotated[Caller, Depends(need("templates:write"))]
Language = Literal["ro", "ru", "en"]
TEXTS = "/templates/{template}/texts/{language}"


@router.get("/templates", response_model=listed.Templates)
async def list_all(request: Request, caller: Reading) -> Response:
    """The templates as the tenant has them."""
    found = await api_of(request).door.database.read(list_templates, caller.tenant.id)
    return answer(listed.Templates, {"data": found, "next": None})


@router.get(f"{TEXTS}:lint", response_model=template_shapes.TextsShown)
async def lint_texts(request: Request, caller: Reading, template: str, language: Language) -> Response:
    """What a template says in a language, and what is wrong with it, as tried with every sample."""
    found = await _find(request, caller, template, language)
    return _shown(found, await texts.lint(api_of(request).workshop, found))


@router.get(TEXTS, response_model=template_shapes.TextsShown)
async def get_texts(request: Request, caller: Reading, template: str, language: Language) -> Response:
    """What a template says in a language."""
    return _shown(await _find(request, caller, template, language), ())


@router.put(TEXTS, response_model=template_shapes.TextsShown, openapi_extra=takes({JSON: "AskedTexts"}))
async def put_texts(request: Request, caller: Writing, template: str, language: Language) -> Response:
    """Say something else; it is tried with every sample first, and holds from the next message on."""
    said, found = await _said(request, caller, template, language)
    warnings = await texts.keep(api_of(request).workshop, caller.tenant.id, found, said)
    return _shown(await _find(request, caller, template, language), warnings)


@router.post(f"{TEXTS}:preview", response_model=template_shapes.LookShown, openapi_extra=takes({JSON: "AskedTexts"}))
async def preview_texts(request: Request, caller: Reading, template: str, language: Language) -> Response:
    """The mail about a sample as these texts would have it; nothing is kept or sent."""
    said, found = await _said(request, caller, template, language)
    seen = await texts.preview(api_of(request).workshop, found, said, draw=True)
    files = [one.filename for one in seen.attachments]
    return answer(template_shapes.LookShown, {"subject": seen.subject, "text": seen.text, "html": seen.html,
                                     "attachments": files})  # fmt: skip


async def _find(request: Request, caller: Caller, template: str, language: str) -> texts.Texts:
    if template not in templates():
        raise ApiError(404)
    return await api_of(request).door.database.read(texts.read_texts, caller.tenant, template, language)


async def _said(request: Request, caller: Caller, template: str, language: str) -> tuple[dict[str, str], texts.Texts]:
    body = await read_json(request, AskedTexts)
    found = await _find(request, caller, template, language)
    given = {part: text for part, text in body.model_dump().items() if text is not None}
    return texts.read_parts(found, given), found


def _shown(found: texts.Texts, findings: Any) -> Response:
    made = {"template": found.key, "language": found.code, "parts": found.parts, "findings": findings}
    return answer(template_shapes.TextsShown, made)
